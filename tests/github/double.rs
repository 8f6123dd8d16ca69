//! As much of GitHub's API as tidegate speaks, strict where GitHub is strict, its state in a real git
//! repository. Every exchange is held against GitHub's own description; what does not fit fails the test.

use serde_json::{Value, json};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tidegate::port::{Clock as _, clock::SystemClock};

use crate::{
    api::{answer, decoded, query, refusal},
    news::News,
    openapi::OpenApi,
    repository::{Logged, Repository},
    wire::{self, Connection, Listener, Message},
};

pub const TOKEN: &str = "ghs_0123456789abcdefABCDEF0123456789abcd";
pub const NAME: &str = "acme/shop";

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A secondary rate limit, told with 403 and `retry-after: 1`.
    Secondary403,
    /// The same with 429.
    Secondary429,
    /// The same, in words alone.
    SecondaryInWords,
    /// Nothing remains until the reset, a second from now.
    Primary,
    /// 500, and nothing was done.
    Internal,
    /// 502, and it was done.
    BadGateway,
    ResetBefore,
    ResetAfter,
    /// No answer for as long as the client waits; nothing was done.
    Hang,
    /// No answer for as long as the client waits; it was done.
    HangAfter,
    /// It was done, and the answer is cut in the middle.
    Truncated,
    /// The request arrives twice; the second answer is the one that is seen.
    SentTwice,
}

impl Trouble {
    pub const ALL: [Trouble; 12] = [
        Trouble::Secondary403,
        Trouble::Secondary429,
        Trouble::SecondaryInWords,
        Trouble::Primary,
        Trouble::Internal,
        Trouble::BadGateway,
        Trouble::ResetBefore,
        Trouble::ResetAfter,
        Trouble::Hang,
        Trouble::HangAfter,
        Trouble::Truncated,
        Trouble::SentTwice,
    ];

    /// GitHub says itself that nothing was done.
    pub fn is_limit(self) -> bool {
        use Trouble::{Primary, Secondary403, Secondary429, SecondaryInWords};
        matches!(self, Secondary403 | Secondary429 | SecondaryInWords | Primary)
    }

    /// The request got through.
    pub fn is_done(self) -> bool {
        use Trouble::{BadGateway, HangAfter, ResetAfter, SentTwice, Truncated};
        matches!(self, BadGateway | ResetAfter | HangAfter | Truncated | SentTwice)
    }
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Repository,
    Tip,
    List,
    Plant,
    Commit,
    Create,
    Move,
    Deployments,
    Deploy,
    Statuses,
    AddStatus,
    Issues,
    OpenIssue,
    Comments,
    AddComment,
    Approvals,
}

impl Op {
    pub const NEWS: [Op; 9] = [
        Op::Deployments,
        Op::Deploy,
        Op::Statuses,
        Op::AddStatus,
        Op::Issues,
        Op::OpenIssue,
        Op::Comments,
        Op::AddComment,
        Op::Approvals,
    ];
}

/// Trouble with some requests: the first `times` after `skip`.
struct Planned {
    op: Op,
    skip: usize,
    times: usize,
    trouble: Trouble,
}

pub struct Double {
    pub url: String,
    shared: Arc<Shared>,
    _listener: Listener,
}

pub struct State {
    pub repository: Repository,
    pub private: bool,
    /// `contents: write` was not given.
    pub read_only: bool,
    /// What a rule of the repository says to every new head.
    pub rule: Option<&'static str>,
    /// Looks at references are answered with these for so many times.
    stale: Option<(usize, Vec<(String, String)>)>,
    plan: Vec<Planned>,
    calls: Vec<(Op, u16)>,
    troubles: Vec<Trouble>,
    faults: Vec<String>,
    exchanges: Vec<(Message, Message)>,
    /// What GitHub shows of a repository.
    about: Value,
    pub news: News,
}

thread_local! {
    /// Read once in a test.
    static DESCRIPTION: RefCell<OpenApi> = RefCell::new(OpenApi::load());
}

struct Shared(Mutex<State>);

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Double {
    pub fn start() -> Double {
        Double::of(Repository::new())
    }

    pub fn of(repository: Repository) -> Double {
        let shared = Arc::new(Shared(Mutex::new(State {
            repository,
            private: true,
            read_only: false,
            rule: None,
            stale: None,
            plan: Vec::new(),
            calls: Vec::new(),
            troubles: Vec::new(),
            faults: Vec::new(),
            exchanges: Vec::new(),
            about: DESCRIPTION.with_borrow(|d| d.example("/repos/{owner}/{repo}", "get", 200)),
            news: DESCRIPTION.with_borrow(News::new),
        })));
        let serving = shared.clone();
        let listener = Listener::start(move |stream| {
            // a connection that broke is what this is about
            let _ = serving.serve(stream);
        });
        Double { url: listener.url(), shared, _listener: listener }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// The environment of a step in a workflow of this repository.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_API_URL", self.url.as_str()),
            ("GITHUB_REPOSITORY", NAME),
            ("TIDEGATE_GITHUB_TOKEN", TOKEN),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
    }

    /// Plans trouble with the `n`th such request from now on, counted from 1.
    pub fn nth(&self, op: Op, n: usize, trouble: Trouble) {
        self.state().plan.push(Planned { op, skip: n - 1, times: 1, trouble });
    }

    /// The first `times` such requests.
    pub fn times(&self, op: Op, times: usize, trouble: Trouble) {
        self.state().plan.push(Planned { op, skip: 0, times, trouble });
    }

    /// The next looks at references see them as they are now.
    pub fn lag(&self, looks: usize) {
        let mut state = self.state();
        state.stale = Some((looks, state.repository.references()));
    }

    /// The requests since the last time, with their answers; 0 is none.
    pub fn calls(&self) -> Vec<(Op, u16)> {
        std::mem::take(&mut self.state().calls)
    }

    pub fn ops(&self) -> Vec<Op> {
        self.calls().into_iter().map(|(op, _)| op).collect()
    }

    /// The trouble that was made. A test that planned some asserts that it came to it.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.state().troubles.clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let mut faults: BTreeSet<String> = std::mem::take(&mut self.state().faults).into_iter().collect();
            let exchanges = std::mem::take(&mut self.state().exchanges);
            for (request, answer) in exchanges {
                faults.extend(DESCRIPTION.with_borrow_mut(|d| d.faults(&request, &answer)));
            }
            assert!(
                faults.is_empty(),
                "exchanges that GitHub does not know:\n{}",
                faults.into_iter().collect::<Vec<_>>().join("\n")
            );
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut client = Connection::new(stream);
        while let Some(request) = wire::read_request(&mut client)? {
            let (answer, trouble) = self.state().take(&request);
            use Trouble::{Hang, HangAfter, ResetAfter, ResetBefore, Truncated};
            match trouble {
                Some(Hang | HangAfter) => {
                    let _ = client.read(&mut [0]);
                    return Ok(());
                }
                Some(ResetBefore | ResetAfter) => {
                    let socket = tokio::net::TcpSocket::from_std_stream(client.into_stream());
                    let _ = socket.set_zero_linger();
                    return Ok(());
                }
                _ => {}
            }
            let bytes = wire::bytes_of(&answer, false);
            if trouble == Some(Truncated) {
                return client.write_all(&bytes[..bytes.len() - answer.body.len() / 2]);
            }
            client.write_all(&bytes)?;
            client.flush()?;
        }
        Ok(())
    }
}

impl State {
    fn take(&mut self, request: &Message) -> (Message, Option<Trouble>) {
        let op = operation(request);
        let trouble = op.and_then(|op| self.planned(op));
        let answer = match trouble {
            Some(Trouble::Secondary403) => limited(403).with("retry-after", 1),
            Some(Trouble::Secondary429) => limited(429).with("retry-after", 1),
            Some(Trouble::SecondaryInWords) => limited(403),
            Some(Trouble::Primary) => {
                let reset = SystemClock::default().now().as_second() + 1;
                refusal(403, "API rate limit exceeded for installation ID 1.")
                    .with("x-ratelimit-remaining", 0)
                    .with("x-ratelimit-reset", reset)
            }
            Some(Trouble::Internal) => refusal(500, "Server Error"),
            Some(Trouble::ResetBefore | Trouble::Hang) => refusal(500, "never seen"),
            Some(Trouble::SentTwice) => {
                drop(self.answer(request, op));
                self.answer(request, op)
            }
            Some(Trouble::BadGateway) => {
                drop(self.answer(request, op));
                refusal(502, "Bad Gateway")
            }
            Some(Trouble::ResetAfter | Trouble::HangAfter | Trouble::Truncated) | None => {
                self.answer(request, op)
            }
        };
        self.exchanges.push((request.clone(), answer.clone()));
        let seen = !matches!(
            trouble,
            Some(Trouble::ResetBefore | Trouble::ResetAfter | Trouble::Hang | Trouble::HangAfter)
        );
        self.calls.extend(op.map(|op| (op, if seen { answer.status() } else { 0 })));
        self.troubles.extend(trouble);
        (answer, trouble)
    }

    fn planned(&mut self, op: Op) -> Option<Trouble> {
        let planned = self.plan.iter_mut().find(|p| p.op == op && p.times > 0)?;
        if planned.skip > 0 {
            planned.skip -= 1;
            return None;
        }
        planned.times -= 1;
        Some(planned.trouble)
    }

    fn answer(&mut self, request: &Message, op: Option<Op>) -> Message {
        let bearer = format!("Bearer {TOKEN}");
        for (name, wanted) in [
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", "2022-11-28"),
            ("user-agent", concat!("tidegate/", env!("CARGO_PKG_VERSION"))),
        ] {
            let found = request.header(name);
            if found != Some(wanted) {
                self.faults.push(format!("`{name}` is {found:?}"));
            }
        }
        let header = |name: &str| request.headers.iter().filter(|(n, _)| n == name).count();
        if header("authorization") != 1 || header("user-agent") != 1 {
            self.faults.push(format!("headers come twice: {:?}", request.headers));
        }
        if request.header("authorization") != Some(&bearer) {
            return refusal(401, "Bad credentials");
        }
        let path = request.first[1].split('?').next().unwrap().to_string();
        let Some(op) = op.filter(|_| {
            let ours = format!("/repos/{NAME}");
            path == ours || path.starts_with(&format!("{ours}/"))
        }) else {
            return refusal(404, "Not Found");
        };
        if self.read_only && matches!(op, Op::Plant | Op::Commit | Op::Create | Op::Move) {
            return refusal(403, "Resource not accessible by integration")
                .with("x-accepted-github-permissions", "contents=write");
        }
        if op == Op::Repository {
            return self.about();
        }
        if Op::NEWS.contains(&op) {
            return self.news.answer(op, request);
        }
        if self.repository.references().is_empty() {
            return refusal(409, "Git Repository is empty.");
        }
        match op {
            Op::Repository => self.about(),
            Op::Tip => tagged(request, self.tip(&path)),
            Op::List => self.list(&request.first[1]),
            Op::Plant => self.plant(&request.json()),
            Op::Commit => self.commit(&request.json()),
            Op::Create => self.create(&request.json()),
            Op::Move => self.move_to(&path, &request.json()),
            _ => refusal(404, "Not Found"),
        }
    }

    fn about(&self) -> Message {
        let mut about = self.about.clone();
        about["full_name"] = json!(NAME);
        // the description's own example lacks them
        for place in ["", "/parent", "/source", "/template_repository"] {
            if let Some(about) = about.pointer_mut(place).and_then(Value::as_object_mut) {
                about.entry("language").or_insert(Value::Null);
            }
        }
        about["private"] = json!(self.private);
        about["visibility"] = json!(if self.private { "private" } else { "public" });
        answer(200, &about)
    }

    fn tip(&mut self, path: &str) -> Message {
        let wanted = format!("refs/{}", decoded(path.split("/git/matching-refs/").nth(1).unwrap()));
        let references = match &mut self.stale {
            Some((looks, references)) if *looks > 0 => {
                *looks -= 1;
                references.clone()
            }
            _ => self.repository.references(),
        };
        let found = references.iter().filter(|(name, _)| name.starts_with(&wanted));
        answer(200, &found.map(|(name, sha)| reference(name, sha)).collect())
    }

    fn list(&self, target: &str) -> Message {
        let query = query(target);
        let count = query.get("per_page").map_or(30, |n| n.parse::<usize>().unwrap().min(100));
        match self.repository.log(&query["sha"], count) {
            Ok(commits) => answer(200, &commits.iter().map(listed).collect()),
            Err(_) => refusal(404, "Not Found"),
        }
    }

    fn plant(&self, body: &Value) -> Message {
        let entries = body["tree"].as_array().unwrap();
        if entries.is_empty() {
            return invalid("Invalid tree info");
        }
        let blobs: Vec<(String, String)> = entries
            .iter()
            .map(|entry| {
                let text = entry["content"].as_str().unwrap();
                let blob = self.repository.git(&["hash-object", "-w", "--stdin"], text.as_bytes()).unwrap();
                (entry["path"].as_str().unwrap().to_string(), blob)
            })
            .collect();
        let files: Vec<(&str, &str)> = blobs.iter().map(|(p, b)| (p.as_str(), b.as_str())).collect();
        let sha = self.repository.tree(&files).unwrap();
        let tree: Vec<Value> = files
            .iter()
            .map(|(path, blob)| {
                let url = api(&format!("/git/blobs/{blob}"));
                json!({"path": path, "mode": "100644", "type": "blob", "sha": blob, "size": 1, "url": url})
            })
            .collect();
        let url = api(&format!("/git/trees/{sha}"));
        answer(201, &json!({"sha": sha, "url": url, "tree": tree, "truncated": false}))
    }

    fn commit(&self, body: &Value) -> Message {
        let tree = body["tree"].as_str().unwrap();
        if self.repository.kind(tree).as_deref() != Some("tree") {
            return invalid("Tree SHA does not exist");
        }
        let parents: Vec<&str> = body["parents"]
            .as_array()
            .map(|p| p.iter().map(|p| p.as_str().unwrap()).collect())
            .unwrap_or_default();
        if parents.iter().any(|parent| self.repository.kind(parent).as_deref() != Some("commit")) {
            return invalid("Parent SHA does not exist or is not a commit object");
        }
        let sha = self.repository.commit(tree, &parents, body["message"].as_str().unwrap()).unwrap();
        let logged = self.repository.log(&sha, 1).unwrap().remove(0);
        answer(201, &object(&logged))
    }

    fn create(&self, body: &Value) -> Message {
        let (name, sha) = (body["ref"].as_str().unwrap(), body["sha"].as_str().unwrap());
        if !name.starts_with("refs/") || name.matches('/').count() < 2 {
            return invalid("Reference name must start with 'refs/' and have at least two slashes");
        }
        if self.repository.git(&["check-ref-format", name], b"").is_err() {
            return invalid("Reference name is not valid");
        }
        if let Some(rule) = self.rule {
            return invalid(rule);
        }
        if self.repository.kind(sha).as_deref() != Some("commit") {
            return invalid("Object does not exist");
        }
        match self.repository.create(name, sha) {
            Ok(()) => answer(201, &reference(name, sha)),
            Err(_) if self.repository.reference(name).is_some() => invalid("Reference already exists"),
            Err(_) => invalid("Reference update failed"),
        }
    }

    fn move_to(&self, path: &str, body: &Value) -> Message {
        let name = format!("refs/{}", decoded(path.split("/git/refs/").nth(1).unwrap()));
        let sha = body["sha"].as_str().unwrap();
        let Some(before) = self.repository.reference(&name) else {
            return invalid("Reference does not exist");
        };
        if let Some(rule) = self.rule {
            return invalid(rule);
        }
        if self.repository.kind(sha).as_deref() != Some("commit") {
            return invalid("Object does not exist");
        }
        let forward = self.repository.git(&["merge-base", "--is-ancestor", &before, sha], b"").is_ok();
        if body["force"] != json!(true) && !forward {
            return invalid("Update is not a fast forward");
        }
        self.repository.update(&name, sha, &before).unwrap();
        answer(200, &reference(&name, sha))
    }
}

fn operation(request: &Message) -> Option<Op> {
    let path = request.first[1].split('?').next()?;
    let rest = path.strip_prefix(&format!("/repos/{NAME}"))?;
    match (request.first[0].as_str(), rest) {
        ("GET", "") => Some(Op::Repository),
        ("GET", "/commits") => Some(Op::List),
        ("POST", "/git/trees") => Some(Op::Plant),
        ("POST", "/git/commits") => Some(Op::Commit),
        ("POST", "/git/refs") => Some(Op::Create),
        ("GET", rest) if rest.starts_with("/git/matching-refs/") => Some(Op::Tip),
        ("PATCH", rest) if rest.starts_with("/git/refs/") => Some(Op::Move),
        ("GET", "/deployments") => Some(Op::Deployments),
        ("POST", "/deployments") => Some(Op::Deploy),
        ("GET", rest) if rest.ends_with("/statuses") => Some(Op::Statuses),
        ("POST", rest) if rest.ends_with("/statuses") => Some(Op::AddStatus),
        ("GET", "/issues") => Some(Op::Issues),
        ("POST", "/issues") => Some(Op::OpenIssue),
        ("GET", rest) if rest.ends_with("/comments") => Some(Op::Comments),
        ("POST", rest) if rest.ends_with("/comments") => Some(Op::AddComment),
        ("GET", rest) if rest.ends_with("/approvals") => Some(Op::Approvals),
        _ => None,
    }
}

fn limited(status: u16) -> Message {
    refusal(
        status,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    )
}

pub fn invalid(message: &str) -> Message {
    refusal(422, message)
}

fn api(rest: &str) -> String {
    format!("https://api.github.com/repos/{NAME}{rest}")
}

/// With its tag, or 304 to whoever has it.
fn tagged(request: &Message, message: Message) -> Message {
    use sha2::{Digest as _, Sha256};
    let digest: String = Sha256::digest(&message.body).iter().map(|b| format!("{b:02x}")).collect();
    let tag = format!("W/\"{digest}\"");
    match request.header("if-none-match") == Some(&tag) {
        true => Message { body: Vec::new(), ..answer(304, &Value::Null) }.with("etag", tag),
        false => message.with("etag", tag),
    }
}

fn reference(name: &str, sha: &str) -> Value {
    json!({
        "ref": name,
        "node_id": "MDM6UmVm",
        "url": api(&format!("/git/{name}")),
        "object": {"type": "commit", "sha": sha, "url": api(&format!("/git/commits/{sha}"))},
    })
}

fn person() -> Value {
    json!({"name": "github-actions[bot]", "email": "bot@users.noreply.github.com", "date": "2026-01-01T00:00:00Z"})
}

fn parents(commit: &Logged) -> Vec<Value> {
    let parent =
        |sha: &String| json!({"sha": sha, "url": api(&format!("/git/commits/{sha}")), "html_url": page(sha)});
    commit.parents.iter().map(parent).collect()
}

fn page(sha: &str) -> String {
    format!("https://github.com/{NAME}/commit/{sha}")
}

fn verification() -> Value {
    json!({"verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null})
}

/// As `/git/commits` shows it.
fn object(commit: &Logged) -> Value {
    json!({
        "sha": commit.sha,
        "node_id": "MDY6Q29tbWl0",
        "url": api(&format!("/git/commits/{}", commit.sha)),
        "html_url": page(&commit.sha),
        "author": person(),
        "committer": person(),
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": api(&format!("/git/trees/{}", commit.tree))},
        "parents": parents(commit),
        "verification": verification(),
    })
}

/// As `/commits` shows it.
fn listed(commit: &Logged) -> Value {
    let url = api(&format!("/commits/{}", commit.sha));
    json!({
        "url": url,
        "sha": commit.sha,
        "node_id": "MDY6Q29tbWl0",
        "html_url": page(&commit.sha),
        "comments_url": format!("{url}/comments"),
        "commit": {
            "url": api(&format!("/git/commits/{}", commit.sha)),
            "author": person(),
            "committer": person(),
            "message": commit.message,
            "comment_count": 0,
            "tree": {"sha": commit.tree, "url": api(&format!("/git/trees/{}", commit.tree))},
            "verification": verification(),
        },
        "author": null,
        "committer": null,
        "parents": parents(commit),
    })
}
