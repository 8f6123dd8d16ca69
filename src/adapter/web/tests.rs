use super::*;
use crate::domain::template::Words;

#[test]
fn nothing_secret_is_shown_of_a_url() {
    for (url, expected) in [
        ("https://user:pw@host/m?token=abc&x=1#frag", "https://host/m?token=…&x=…"),
        ("http://host:9090/m?abc", "http://host:9090/m?…"),
        ("http://host", "http://host/"),
        ("user:pw@host/m?abc", "user:pw@host/m?…"),
        ("//user:pw@host/m?abc", "host/m"),
        ("", ""),
    ] {
        let shown = shown(url);
        assert!(!shown.contains("abc") && !shown.contains("frag"), "{url}: {shown}");
        if url.contains("//") || url.is_empty() {
            assert_eq!(shown, expected);
            assert!(!shown.contains("pw"), "{url}: {shown}");
        }
    }
}

#[test]
fn words_fill_a_url_escaped_unless_they_are_its_beginning() {
    let words = Words::default().with("side", "a/b&c").with("env.BASE", "http://host:1");
    let filled = |template| Address::new(template).and_then(|address| address.fill(&words));
    assert_eq!(filled("http://x/{{side}}?s={{side}}").unwrap(), "http://x/a%2Fb%26c?s=a%2Fb%26c");
    assert_eq!(filled("{{env.BASE}}/m/{{side}}").unwrap(), "http://host:1/m/a%2Fb%26c");
    assert_eq!(filled("/m?x={{env.BASE}}").unwrap(), "/m?x=http%3A%2F%2Fhost%3A1");
    assert!(filled("/m/{{version}}").unwrap_err().contains("stands for nothing"));
}

#[test]
fn a_client_costs_nothing_until_it_is_used() {
    let web = Web::new("test");
    assert!(web.plain.get().is_none() && web.tls.get().is_none());
}
