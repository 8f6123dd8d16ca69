//! What every world that speaks HAProxy's runtime API must let the `haproxy` target do: HAProxy itself, and
//! the splitter of `tidegate demo`.

use tidegate::{
    domain::{
        observed::{Activity, Health},
        share::Share,
    },
    port::{Change, Grade, Treat},
};

use super::{
    balanced::{api, cx, green, share, side, socket, target, to_green},
    both::{self, Both, api_and_web, ask, backend, checked, server},
};

#[tokio::test]
async fn both_sides_are_shown_as_they_are() {
    let (both, upstreams) = api_and_web().await;
    for world in &both.0 {
        let seen = api(&world.admin).observe(&cx()).await.unwrap();
        assert_eq!(green(&seen), Share::NONE, "{}", world.name);
        assert_eq!((&seen.activity, seen.notes.len()), (&Activity::Idle, 0), "{}", world.name);
        for (side, upstream) in seen.sides.iter().zip(&upstreams) {
            let [instance] = side.instances.as_slice() else { panic!("{seen:?}") };
            assert_eq!(instance.health, Health::Up, "{}", world.name);
            assert_eq!(instance.address, Some(upstream.address.to_string()), "{}", world.name);
            assert_eq!(side.ready(), Ok(()));
        }
        let web = format!("{{socket: '{}', backend: web, sides: [blue, green]}}", socket(&world.admin));
        let seen = target(&web).observe(&cx()).await.unwrap();
        // both at weight 100, but green is `disabled`
        assert_eq!(green(&seen), Share::NONE, "{}", world.name);
        let healths: Vec<_> = seen.sides.iter().map(|s| s.instances[0].health.clone()).collect();
        assert_eq!(healths, [Health::Unknown, Health::Disabled], "{}", world.name);
        assert_eq!(seen.notes, ["green is in maintenance"], "{}", world.name);
    }
}

#[tokio::test]
async fn a_share_that_was_set_is_read_back_and_setting_it_twice_changes_nothing() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        for address in [&world.admin, &world.tcp] {
            let target = api(address);
            for text in ["10%", "50%", "100%", "0%", "0.39%", "33.33%", "99.99%", "0%"] {
                for _ in 0..2 {
                    target.apply(&cx(), &to_green(text)).await.unwrap();
                    let seen = green(&target.observe(&cx()).await.unwrap());
                    assert_eq!(seen, target.nearest(share(text)), "{} {text}", world.name);
                }
            }
        }
        let back = api(&world.admin).observe(&cx()).await.unwrap();
        // blue at 250, which a reload would make 100 again; the shares would stay
        assert!(
            back.notes.iter().any(|n| n.contains("blue 100, green 0: 100 % on blue")),
            "{:?}",
            back.notes
        );
    }
}

#[tokio::test]
async fn traffic_follows_the_share() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        api(&world.admin).apply(&cx(), &to_green("10%")).await.unwrap();
        let mut candidate = 0;
        for _ in 0..200 {
            let response = both::get(world.fronts["api"], "/").await;
            candidate += u32::from(response.version.as_deref() == Some("v2"));
        }
        assert!((18..=22).contains(&candidate), "{}: {candidate} of 200", world.name);
    }
}

#[tokio::test]
async fn servers_of_a_side_share_its_share() {
    let upstream = both::Upstream::start("v1", 0.0).await;
    let servers = ["b1", "b2", "g1"].map(|name| server(name, upstream.address, 100));
    let both = Both::start(vec![backend("api", servers.into())]).await;
    for world in &both.0 {
        let options = format!(
            "{{socket: '{}', backend: api, sides: {{blue: [b1, b2], green: g1}}}}",
            socket(&world.admin)
        );
        let target = target(&options);
        let before = green(&target.observe(&cx()).await.unwrap());
        assert_eq!(before, share("33.33%"), "{}", world.name);
        for text in ["50%", "10%", "100%", "0%", "1%"] {
            target.apply(&cx(), &to_green(text)).await.unwrap();
            let seen = target.observe(&cx()).await.unwrap();
            assert_eq!(green(&seen), target.nearest(share(text)), "{} {text}", world.name);
            let weights = weights(world, "api").await;
            assert_eq!(weights[0], weights[1], "{} {text}", world.name);
        }
    }
}

#[tokio::test]
async fn a_side_that_is_down_keeps_its_share_and_says_why() {
    let blue = both::Upstream::start("v1", 0.0).await;
    let (nobody, _held) = both::refusing();
    let both = Both::start(vec![checked(
        "api",
        vec![server("blue", blue.address, 100), server("green", nobody, 100)],
    )])
    .await;
    both.states_converge().await;
    both.rows_converge(&["status"], |rows| rows["api/green"]["status"] == "DOWN").await;
    for world in &both.0 {
        let seen = api(&world.admin).observe(&cx()).await.unwrap();
        assert_eq!(green(&seen), share("50%"), "{}", world.name);
        let Health::Down { why } = &seen.sides[1].instances[0].health else { panic!("{seen:?}") };
        assert!(why.contains("L4CON") && why.contains("Connection refused"), "{why}");
    }
}

#[tokio::test]
async fn what_a_person_took_out_is_not_put_back() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        let target = api(&world.admin);
        for (state, word) in [("maint", "maintenance"), ("drain", "drain")] {
            ask(&world.admin, &format!("set server api/green state {state}")).await;
            let before = weights(world, "api").await;
            let fault = target.apply(&cx(), &to_green("10%")).await.unwrap_err();
            assert_eq!(fault.treat, Treat::Permanent, "{}: {fault}", world.name);
            assert!(fault.detail.contains(&format!("green is in {word}")), "{fault}");
            assert_eq!(weights(world, "api").await, before, "{}", world.name);
            let seen = target.observe(&cx()).await.unwrap();
            assert_eq!(seen.sides[1].instances[0].health, Health::Disabled);
            // the way back does not need it
            target.apply(&cx(), &to_green("0%")).await.unwrap();
            ask(&world.admin, "set server api/green state ready").await;
        }
    }
}

#[tokio::test]
async fn preflight_passes_what_is_in_order_and_refuses_what_is_not() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        let worst = |findings: &[tidegate::port::Finding]| findings.iter().map(|f| f.grade).max();
        let findings = api(&world.admin).preflight(&cx()).await;
        // the weights are not kept over a reload
        assert_eq!(worst(&findings), Some(Grade::Warn), "{}: {findings:?}", world.name);
        let warnings: Vec<_> = findings.iter().filter(|f| f.grade == Grade::Warn).collect();
        assert!(warnings.len() == 1 && warnings[0].message.contains("state_file"), "{warnings:?}");
        let before = weights(world, "api").await;
        let findings = api(&world.operator).preflight(&cx()).await;
        assert_eq!(worst(&findings), Some(Grade::Refuse), "{}: {findings:?}", world.name);
        assert!(findings.iter().any(|f| f.message.contains("level admin")), "{findings:?}");
        assert_eq!(weights(world, "api").await, before);
    }
}

#[tokio::test]
async fn what_it_cannot_do_is_refused() {
    let (both, _upstreams) = api_and_web().await;
    let target = api(&both.0[0].admin);
    let caps = target.caps();
    assert_eq!((caps.deploys, caps.retires, caps.precondition, caps.splits), (false, false, false, true));
    let changes = [
        Change::Deploy { side: side("green"), release: "v1".parse().unwrap(), artifact: None },
        Change::Retire { side: side("green") },
        Change::Share([(side("red"), Share::ALL)].into()),
        Change::Share([(side("blue"), Share::ALL), (side("green"), Share::ALL)].into()),
        Change::Share([].into()),
    ];
    for change in changes {
        let fault = target.apply(&cx(), &change).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent, "{change:?}: {fault}");
    }
}

/// Weights of the backend's servers, in the order of its configuration.
pub async fn weights(world: &both::World, backend: &str) -> Vec<String> {
    let answer = ask(&world.admin, &format!("show servers state {backend}")).await;
    let rows = answer.lines().filter(|line| line.split(' ').nth(1) == Some(backend));
    rows.map(|line| line.split(' ').nth(7).unwrap().to_string()).collect()
}
