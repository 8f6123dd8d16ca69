//! What only the real HAProxy has: reloads, static algorithms, stickiness.

use tidegate::{
    domain::share::Share,
    port::{Grade, Target, Treat},
};

use super::{
    balanced::{api, cx, green, share, socket, target, to_green},
    both::ask,
    reloadable::Reloadable,
};

const SERVERS: &str = "  server blue 127.0.0.1:1 weight 100\n  server green 127.0.0.1:1 weight 0\n";

fn with_file(haproxy: &Reloadable) -> Box<dyn Target> {
    target(&format!(
        "{{socket: '{}', backend: api, sides: [blue, green], state_file: '{}'}}",
        socket(&haproxy.admin()),
        haproxy.file("state").display()
    ))
}

#[tokio::test]
async fn a_reload_loses_the_weights_and_the_notes_say_so_before() {
    let haproxy = Reloadable::start(&format!("backend api\n{SERVERS}"));
    let target = api(&haproxy.admin());
    target.apply(&cx(), &to_green("10%")).await.unwrap();
    let seen = target.observe(&cx()).await.unwrap();
    let lost = "a reload of HAProxy sets the configured weights again (blue 100, green 0: 100 % on blue, 0 % on green) \
                unless it loads a server-state file";
    assert_eq!(seen.notes, [lost]);
    haproxy.reload();
    assert_eq!(green(&target.observe(&cx()).await.unwrap()), Share::NONE);
}

#[tokio::test]
async fn a_state_file_carries_the_weights_over_a_reload() {
    let haproxy = Reloadable::start(&format!("backend api\n  load-server-state-from-file global\n{SERVERS}"));
    let target = with_file(&haproxy);
    for text in ["10%", "50%", "100%"] {
        target.apply(&cx(), &to_green(text)).await.unwrap();
        assert_eq!(target.observe(&cx()).await.unwrap().notes, [] as [&str; 0]);
        haproxy.reload();
        let seen = target.observe(&cx()).await.unwrap();
        assert_eq!(green(&seen), target.nearest(share(text)));
    }
    ask(&haproxy.admin(), "set weight api/blue 7").await;
    let notes = target.observe(&cx()).await.unwrap().notes;
    assert!(notes[0].contains("has 0 for blue, which is at 7"), "{notes:?}");
    let left: Vec<_> = std::fs::read_dir(haproxy.file("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("tidegate")), "{left:?}");
}

#[tokio::test]
async fn a_state_file_that_cannot_be_written_is_told_and_does_not_stop_the_shift() {
    let haproxy = Reloadable::start(&format!("backend api\n{SERVERS}"));
    let target = target(&format!(
        "{{socket: '{}', backend: api, sides: [blue, green], state_file: /nowhere/state}}",
        socket(&haproxy.admin())
    ));
    target.apply(&cx(), &to_green("10%")).await.unwrap();
    let seen = target.observe(&cx()).await.unwrap();
    assert_eq!(green(&seen), share("10%"));
    assert!(seen.notes[0].contains("/nowhere/state cannot be read"), "{:?}", seen.notes);
}

#[tokio::test]
async fn a_static_algorithm_goes_all_the_way_or_not_at_all() {
    for algorithm in ["static-rr", "source"] {
        let servers = SERVERS.replace("weight 0", "weight 50");
        let haproxy = Reloadable::start(&format!("backend api\n  balance {algorithm}\n{servers}"));
        let target = api(&haproxy.admin());
        target.apply(&cx(), &to_green("0%")).await.unwrap();
        for text in ["10%", "50%"] {
            let fault = target.apply(&cx(), &to_green(text)).await.unwrap_err();
            assert_eq!(fault.treat, Treat::Permanent, "{algorithm}: {fault}");
            assert!(fault.hint.unwrap().contains("stages: [100%]"));
            assert_eq!(green(&target.observe(&cx()).await.unwrap()), Share::NONE, "{algorithm}");
        }
        for text in ["100%", "0%", "100%"] {
            target.apply(&cx(), &to_green(text)).await.unwrap();
            assert_eq!(green(&target.observe(&cx()).await.unwrap()), share(text), "{algorithm}");
        }
        let findings = target.preflight(&cx()).await;
        assert!(findings.iter().any(|f| f.grade == Grade::Warn && f.message.contains("0 % and 100 % only")));
    }
}

#[tokio::test]
async fn where_one_side_cannot_be_raised_the_other_is_not_lowered() {
    // configured with weight 0, a static algorithm never takes another one
    for algorithm in ["static-rr", "source"] {
        let haproxy = Reloadable::start(&format!("backend api\n  balance {algorithm}\n{SERVERS}"));
        let target = api(&haproxy.admin());
        let fault = target.apply(&cx(), &to_green("100%")).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent, "{algorithm}: {fault}");
        assert_eq!(green(&target.observe(&cx()).await.unwrap()), Share::NONE, "{algorithm}");
    }
}

#[tokio::test]
async fn a_consistent_hash_takes_any_share() {
    let haproxy =
        Reloadable::start(&format!("backend api\n  balance source\n  hash-type consistent\n{SERVERS}"));
    let target = api(&haproxy.admin());
    for text in ["10%", "100%", "0%"] {
        target.apply(&cx(), &to_green(text)).await.unwrap();
        assert_eq!(green(&target.observe(&cx()).await.unwrap()), share(text));
    }
}

#[tokio::test]
async fn a_frontend_may_have_the_backend_s_name() {
    let haproxy = Reloadable::start(&format!(
        "frontend api\n  bind unix@DIR/front.sock\n  default_backend api\nbackend api\n{SERVERS}"
    ));
    let target = api(&haproxy.admin());
    target.apply(&cx(), &to_green("10%")).await.unwrap();
    assert_eq!(green(&target.observe(&cx()).await.unwrap()), share("10%"));
}

#[tokio::test]
async fn a_socket_of_level_user_can_look_and_nothing_else() {
    let haproxy = Reloadable::start(&format!("backend api\n{SERVERS}"));
    let target = api(&haproxy.user());
    let seen = target.observe(&cx()).await.unwrap();
    assert_eq!(seen.sides[0].instances[0].address.as_deref(), Some("127.0.0.1:1"));
    let fault = target.apply(&cx(), &to_green("10%")).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent, "{fault}");
    assert_eq!(green(&target.observe(&cx()).await.unwrap()), Share::NONE);
}

#[tokio::test]
async fn preflight_sees_what_makes_a_share_mean_something_else() {
    let haproxy = Reloadable::start(
        "backend api
  cookie SRV insert
  stick-table type ip size 1k
  stick on src
  server blue 127.0.0.1:1 weight 100 cookie b
  server green 127.0.0.1:1 weight 100 cookie g backup
  server old 127.0.0.1:1 weight 50 cookie o",
    );
    let target = api(&haproxy.admin());
    let findings = target.preflight(&cx()).await;
    for (grade, text) in [
        (Grade::Warn, "by cookie SRV"),
        (Grade::Warn, "has a stick table"),
        (Grade::Warn, "no health check result for blue, green"),
        (Grade::Refuse, "server old belongs to no side and takes traffic (weight 50)"),
        (Grade::Refuse, "green is a backup server"),
    ] {
        assert!(
            findings.iter().any(|f| f.grade == grade && f.message.contains(text)),
            "{text}: {findings:#?}"
        );
    }
    let fault = target.apply(&cx(), &to_green("10%")).await.unwrap_err();
    assert!(fault.hint.unwrap().contains("backup"));
}
