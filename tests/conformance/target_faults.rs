//! Every way in which the runtime API can fail, and what the target says of it.

use tidegate::{domain::share::Share, port::Treat};

use super::{
    balanced::{api, cx, green, share, socket, target, to_green},
    both::{self, api_and_web},
    tamper::{Tampering, tamper},
    target::weights,
};

#[tokio::test]
async fn what_does_not_exist_is_named_together_with_what_does() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        let socket = socket(&world.admin);
        for (options, known) in [
            ("backend: apy, sides: [blue, green]", "backend `apy` does not exist; known: api, web"),
            ("backend: api, sides: [blue, gren]", "no server `gren`; known: blue, green"),
        ] {
            let target = target(&format!("{{socket: '{socket}', {options}}}"));
            let change = tidegate::port::Change::Share([(target.caps().sides[0].clone(), Share::ALL)].into());
            for fault in
                [target.observe(&cx()).await.unwrap_err(), target.apply(&cx(), &change).await.unwrap_err()]
            {
                assert_eq!(fault.treat, Treat::Permanent, "{}", world.name);
                assert!(fault.detail.contains(known), "{}: {fault}", world.name);
            }
            assert!(target.preflight(&cx()).await[0].message.contains(known), "{}", world.name);
        }
    }
}

#[tokio::test]
async fn a_socket_that_is_not_there_may_come_back() {
    let (nobody, _held) = both::refusing();
    for socket in ["/nowhere/haproxy.sock".to_string(), nobody.to_string()] {
        let target = target(&format!("{{socket: '{socket}', backend: api, sides: [blue, green]}}"));
        let observed = target.observe(&cx()).await.unwrap_err();
        let applied = target.apply(&cx(), &to_green("10%")).await.unwrap_err();
        assert_eq!((observed.treat, applied.treat), (Treat::Temporary, Treat::Temporary), "{applied}");
        assert!(observed.hint.is_some());
    }
}

#[tokio::test]
async fn a_socket_without_permission_changes_nothing() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        let before = weights(world, "api").await;
        let target = api(&world.operator);
        assert!(target.observe(&cx()).await.is_ok());
        let fault = target.apply(&cx(), &to_green("10%")).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent, "{}: {fault}", world.name);
        assert!(fault.detail.contains("Permission denied") && fault.hint.unwrap().contains("level admin"));
        assert_eq!(weights(world, "api").await, before, "{}", world.name);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_never_taken_for_one() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        for (how, treat) in [
            (Tampering::Hang, Treat::Temporary),
            (Tampering::Close, Treat::Temporary),
            (Tampering::Truncate, Treat::Temporary),
            (Tampering::Garbage, Treat::Permanent),
            (Tampering::Flood, Treat::Permanent),
        ] {
            let (address, deadline) = tamper(&world.admin, 0, how).await;
            let fault = api(&address).observe(&deadline.cx()).await.unwrap_err();
            assert_eq!(fault.treat, treat, "{} {how:?}: {fault}", world.name);
            let (address, deadline) = tamper(&world.admin, 0, how).await;
            let fault = api(&address).apply(&deadline.cx(), &to_green("10%")).await.unwrap_err();
            // the look before the change failed
            assert_eq!(fault.treat, treat, "{} {how:?}: {fault}", world.name);
        }
        assert_eq!(weights(world, "api").await, ["100", "0"], "{}", world.name);
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_has_an_unknown_outcome() {
    let (both, _upstreams) = api_and_web().await;
    for world in &both.0 {
        let direct = api(&world.admin);
        for (from, to) in [("0%", "10%"), ("10%", "50%"), ("50%", "100%"), ("100%", "0%")] {
            for (how, taken) in [
                (Tampering::Hang, false),
                (Tampering::Close, false),
                (Tampering::Garbage, false),
                (Tampering::Flood, false),
                (Tampering::Truncate, true),
                (Tampering::FirstCommandOnly, true),
            ] {
                direct.apply(&cx(), &to_green(from)).await.unwrap();
                let (address, deadline) = tamper(&world.admin, 1, how).await;
                let fault = api(&address).apply(&deadline.cx(), &to_green(to)).await.unwrap_err();
                let about = format!("{} {how:?} {from} -> {to}: {fault}", world.name);
                assert_eq!(fault.treat, Treat::OutcomeUnknown, "{about}");
                let seen = green(&direct.observe(&cx()).await.unwrap());
                let [before, wanted] = [from, to].map(|text| direct.nearest(share(text)));
                match how {
                    Tampering::FirstCommandOnly => {
                        let between = direct.between(before, wanted);
                        assert!(between.contains(&seen), "{about}: {seen} is not in {between:?}");
                    }
                    _ if taken => assert_eq!(seen, wanted, "{about}"),
                    _ => assert_eq!(seen, before, "{about}"),
                }
                // observed again, repeated, done
                direct.apply(&cx(), &to_green(to)).await.unwrap();
                assert_eq!(green(&direct.observe(&cx()).await.unwrap()), wanted, "{about}");
            }
        }
    }
}
