//! A secret that the file names is shown nowhere and kept nowhere, whoever repeats it and however.

use std::{fs, path::Path};

use crate::stage::Stage;

const SECRET: &str = "s3cr&t/W0rd+x?";
/// What others make of it: as it is, percent-encoded, and inside of base64 at each of its three places.
const LEAK: &str = r#"
printf '%s\n' "it is $LOGIN_PW" >&2
printf '%s\n' 's3cr%26t%2FW0rd%2Bx%3F' 's3cr%26t%2fW0rd%2bx%3f'
for user in '' a ab; do printf '%s%s' "$user" "$LOGIN_PW" | base64; done
echo "it failed for $LOGIN_PW" >&2
exit 1
"#;

/// Parts of it that show in each form, whatever stands around it.
fn shown(text: &str) -> Option<&'static str> {
    // the second half of the value, encoded from each of the three places of a group
    let parts = [
        "cr&t/W0",
        "cr%26t",
        "W0rd%2",
        "Jm",
        "cyJmd",
        "czNjciZ0L1cwcmQ",
        "YXMzY3ImdC9XMHJk",
        "YWJzM2NyJnQvVzByZ",
    ];
    parts.into_iter().filter(|part| part.len() > 5).find(|part| text.contains(part))
}

fn texts(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => texts(&path, found),
            false => {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
                found.push((path.display().to_string(), text));
            }
        }
    }
}

#[tokio::test]
async fn it_is_in_no_log_no_output_no_page_and_no_journal() {
    let stage = Stage::set("").await;
    fs::write(stage.path("leak.sh"), LEAK).unwrap();
    stage.config(
        "journal: file\nsmoke: {login: {http: POST /login, json: {password: {env: LOGIN_PW}}}}\n\
         hooks: {before_deploy: {leak: {run: sh leak.sh}}}\n",
    );
    for (output, verbose) in [("text", ""), ("json", ""), ("text", "--verbose")] {
        for name in ["outputs", "page.md"] {
            fs::write(stage.path(name), "").unwrap();
        }
        let path = |name: &str| stage.path(name).display().to_string();
        let variables = [
            ("LOGIN_PW", SECRET.to_string()),
            ("GITHUB_ACTIONS", "true".into()),
            ("GITHUB_OUTPUT", path("outputs")),
            ("GITHUB_STEP_SUMMARY", path("page.md")),
        ];
        let variables = variables.map(|(name, value)| (name.to_string(), value));
        let arguments = format!("deploy --release v1 --output {output} {verbose}");
        let ran = stage.run_with("someone@here", &arguments, &variables).await.ends(16);
        // the runner takes these lines to hide what is in them, and shows none of them
        let log: Vec<&str> = ran.out.lines().chain(ran.err.lines()).collect();
        let masked = log.iter().filter(|line| line.starts_with("::add-mask::")).count();
        assert!(masked >= 6, "{log:?}");
        let log: Vec<&str> = log.into_iter().filter(|line| !line.starts_with("::add-mask::")).collect();
        let log = log.join("\n");
        assert!(log.contains("***") && log.contains("it failed for ***"), "{log}");
        assert_eq!(shown(&log), None, "{arguments}: {log}");
        let mut kept = Vec::new();
        texts(stage.folder(), &mut kept);
        kept.retain(|(path, _)| !path.ends_with("leak.sh"));
        assert!(kept.iter().any(|(path, text)| path.contains("journal") && text.contains("***")), "{output}");
        for (path, text) in kept {
            assert_eq!(shown(&text), None, "{path}: {text}");
        }
    }
}
