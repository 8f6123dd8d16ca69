//! A role taken by the job's token, and taken again.

use std::sync::{Arc, Mutex};
use tidegate::{
    adapter::aws::Aws,
    port::{Treat, adapter::Setting},
};

use crate::{
    double::{self, Double},
    wire::{self, Connection, Listener, Message},
};

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";
const BEARER: &str = "the-jobs-own-bearer";

/// GitHub's giver of tokens: one for each question, refused to whoever has not the job's bearer.
struct Giver {
    listener: Listener,
    asked: Arc<Mutex<Vec<String>>>,
    /// What it answers first, for so many times.
    trouble: Arc<Mutex<(usize, u16)>>,
}

impl Giver {
    fn start() -> Giver {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let trouble = Arc::new(Mutex::new((0, 500)));
        let (told, failing) = (asked.clone(), trouble.clone());
        let listener = Listener::start(move |stream| {
            let mut client = Connection::new(stream);
            while let Ok(Some(request)) = wire::read_request(&mut client) {
                let target = request.first[1].clone();
                let allowed = request.header("authorization") == Some(&format!("Bearer {BEARER}"));
                let number = {
                    let mut told = told.lock().unwrap();
                    told.push(target);
                    told.len()
                };
                let mut failing = failing.lock().unwrap();
                let (status, body) = match (&mut *failing, allowed) {
                    ((left, status), _) if *left > 0 => {
                        *left -= 1;
                        (*status, String::from("{}"))
                    }
                    (_, false) => (401, String::from("{}")),
                    (_, true) => (200, format!("{{\"count\": 1, \"value\": \"token-{number}\"}}")),
                };
                let answer = Message {
                    first: ["HTTP/1.1".into(), status.to_string(), String::new()],
                    headers: vec![("content-type".into(), "application/json".into())],
                    body: body.into_bytes(),
                };
                use std::io::Write as _;
                let _ = client.write_all(&wire::bytes_of(&answer, false)).and_then(|()| client.flush());
            }
        });
        Giver { listener, asked, trouble }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn way_in(&self, double: &Double, bearer: Option<&str>) -> Arc<Aws> {
        let folder = tempfile::tempdir().unwrap();
        let mut setting: Setting = double::setting(folder.path());
        let usual = setting.env.clone();
        let url = format!("{}/token?api-version=2.0", self.listener.url());
        let bearer = bearer.map(str::to_string);
        setting.env = Arc::new(move |name: &str| match name {
            "TIDEGATE_AWS_ROLE" => Some(ROLE.into()),
            "ACTIONS_ID_TOKEN_REQUEST_URL" => Some(url.clone()),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN" => bearer.clone(),
            other => usual(other),
        });
        Aws::shared(&double::access(&double.url), &setting)
    }
}

fn world() -> (Double, Giver) {
    let double = Double::start();
    double.state().sts.role(ROLE, &["web identity"]);
    double.state().sts.tokens.extend((1..10).map(|number| format!("token-{number}")));
    (double, Giver::start())
}

#[tokio::test]
async fn the_role_is_taken_by_the_jobs_token_once_for_all_calls_and_before_any_key() {
    let (double, giver) = world();
    let aws = giver.way_in(&double, Some(BEARER));
    for _ in 0..3 {
        let (_, who) = aws.identity(&double::hurried(30)).await.unwrap();
        assert_eq!(who, "arn:aws:sts::123456789012:assumed-role/deploy/tidegate");
    }
    let asked = giver.asked.lock().unwrap().clone();
    assert_eq!(asked, ["/token?api-version=2.0&audience=sts.amazonaws.com"]);
    let once = double.operations("sts").iter().filter(|o| *o == "AssumeRoleWithWebIdentity").count();
    assert_eq!(once, 1);
}

#[tokio::test]
async fn a_release_that_bakes_longer_than_the_credentials_live_gets_new_ones_with_a_new_token() {
    let (double, giver) = world();
    double.state().sts.calls_per_key = Some(2);
    let aws = giver.way_in(&double, Some(BEARER));
    for _ in 0..6 {
        aws.identity(&double::hurried(30)).await.unwrap();
    }
    assert_eq!(giver.asked(), 3);
}

#[tokio::test]
async fn a_giver_that_fails_is_asked_again() {
    let (double, giver) = world();
    *giver.trouble.lock().unwrap() = (2, 503);
    giver.way_in(&double, Some(BEARER)).identity(&double::hurried(30)).await.unwrap();
    assert_eq!(giver.asked(), 3);
}

#[tokio::test]
async fn a_job_without_the_permission_is_told_which() {
    let (double, giver) = world();
    let fault = giver.way_in(&double, None).identity(&double::hurried(30)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.to_string().contains("id-token: write"), "{fault}");
    let refused =
        giver.way_in(&double, Some("not-the-bearer")).identity(&double::hurried(30)).await.unwrap_err();
    assert_eq!(refused.treat, Treat::Permanent, "{refused}");
    assert!(
        refused.to_string().contains("401") && !refused.to_string().contains("not-the-bearer"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_repository_is_told_by_its_name() {
    let (double, giver) = world();
    double.state().sts.role(ROLE, &[]);
    let fault = giver.way_in(&double, Some(BEARER)).identity(&double::hurried(30)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(
        fault.to_string().contains("AccessDenied") || fault.to_string().contains("not authorized"),
        "{fault}"
    );
}
