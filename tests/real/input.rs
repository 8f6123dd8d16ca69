//! Servers that are wrong, gone, slow or mad, one after the other: the exit code says which kind of trouble it
//! is, and traffic stays where it was.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
};

use super::{
    http_server::{HttpServer, Reply, nobody, ok, status},
    postgres::Server,
    process::{code, good},
    world::{BLUE_HAS_ALL, GREEN_HAS_A_TENTH, JOURNAL, Site, World},
};

/// A server that takes one line and gives this.
fn mad(answer: &'static [u8], times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || babble(stream, answer, times));
        }
    });
    address.to_string()
}

fn babble(mut stream: TcpStream, answer: &[u8], times: usize) {
    let mut line = String::new();
    let _ = BufReader::new(&stream).read_line(&mut line);
    for _ in 0..times {
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// A server that takes everything and says nothing until the client goes.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
    address.to_string()
}

struct Case {
    what: &'static str,
    config: String,
    /// `DATABASE_URL`.
    url: String,
    command: &'static str,
    expected: i32,
    /// What the message must name.
    names: &'static str,
}

/// Runs each case in a folder of its own.
fn all(world: &World, cases: &[Case], prepare: impl Fn(&Site), stands: [u64; 2]) {
    let mut wrong = Vec::new();
    for Case { what, config, url, command, expected, names } in cases {
        let site = Site::new(config).with_database();
        prepare(&site);
        let mut run = site.tidegate(command);
        run.env("TIDEGATE_ERROR_AFTER_SECONDS", "1").env("DATABASE_URL", url);
        let (code, text) = code(&mut run);
        let panicked = text.contains("panicked") || text.contains("a bug");
        if code != *expected || !text.contains(names) || panicked {
            wrong.push(format!("{what}: ended with {code} instead of {expected}:\n{text}"));
        }
        assert_eq!(world.weights(), stands, "{what}:\n{text}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_bad_haproxy() {
    let world = World::start();
    let real = world.socket().display().to_string();
    let through = |socket: &str| {
        format!(
            "services:\n  api: {{haproxy: {{socket: '{socket}', backend: api, sides: [blue, green]}}}}\n{JOURNAL}"
        )
    };
    let case = |what, config, expected, names| Case {
        what,
        config,
        url: String::new(),
        command: "shift-traffic --to 10 --release v2",
        expected,
        names,
    };
    let cases = [
        case("no such socket", through("/nowhere/haproxy.sock"), 14, "/nowhere/haproxy.sock"),
        case("refused", through(&nobody().to_string()), 14, "is HAProxy running?"),
        case("a folder for a socket", through("/tmp"), 14, "/tmp"),
        case("silent", through(&silent()), 14, "did not finish its answer within"),
        case("closes at once", through(&mad(b"", 1)), 14, "without an answer"),
        case(
            "another protocol",
            through(&mad(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1)),
            14,
            "nothing was changed",
        ),
        case("cut off", through(&mad(b"1\n# be_id be_name srv_id srv_na", 1)), 14, "nothing was changed"),
        case("without end", through(&mad(&[b'x'; 4096], 100_000)), 14, "nothing was changed"),
        case("binary", through(&mad(&[0, 159, 146, 150, 255, 10], 100)), 14, "nothing was changed"),
        case("no such backend", through(&real).replace("backend: api", "backend: shop"), 14, "shop"),
        case("no such side", through(&real).replace("green", "purple"), 14, "purple"),
        case("one side twice", through(&real).replace("green", "blue"), 2, "blue"),
        case("no address", through(""), 2, "socket"),
    ];
    all(&world, &cases, |_| {}, BLUE_HAS_ALL);
    let level = through(&world.operator_socket().display().to_string());
    let cases = [case("may look and not touch", level, 16, "level admin")];
    all(&world, &cases, |_| {}, BLUE_HAS_ALL);
}

#[test]
fn a_bad_database() {
    let world = World::start();
    let server = Server::start();
    let with = |database: &str| {
        format!("{}databases:\n  main: {database}\n{JOURNAL}", world.service(&world.socket()))
    };
    let case = |what, config, expected, names| Case {
        what,
        config,
        url: String::new(),
        command: "snapshot-db --release v2",
        expected,
        names,
    };
    let at = |what, url: String, names| {
        let config = with("{postgres: {url: {env: DATABASE_URL}}, limit: 3s}");
        Case { url, ..case(what, config, 16, names) }
    };
    let good = server.url("postgres");
    let cases = [
        at("refused", format!("postgres://u:p@{}/x", nobody()), "traffic and data are unchanged"),
        at("silent", format!("postgres://u:p@{}/x", silent()), "unchanged"),
        at(
            "another protocol",
            format!("postgres://u:p@{}/x", mad(b"HTTP/1.1 400 Bad Request\r\n\r\n", 1)),
            "unchanged",
        ),
        at("wrong password", good.replace("s3cr3t-pw", "wr0ng-pw"), "password"),
        at("no such database", good.replace("/postgres", "/shop"), "shop"),
        case("no address", with("{postgres: {url: {env: DATABASE_URL}}}"), 2, "DATABASE_URL"),
        case("no variable", with("{postgres: {url: {env: NOT_SET}}}"), 2, "NOT_SET"),
        case("no such file", with("{sqlite: nowhere.db}"), 16, "nowhere.db"),
        case("no database", with("{sqlite: tidegate.yml}"), 16, "tidegate.yml"),
        case("a folder", with("{sqlite: .}"), 16, "is not a file"),
        case("the command fails", with("{run: 'echo oh no; exit 3'}"), 16, "oh no"),
    ];
    all(&world, &cases, |_| {}, BLUE_HAS_ALL);
    for Case { what, config, url, command, .. } in &cases {
        let site = Site::new(config).with_database();
        let (_, text) = code(site.tidegate(command).env("DATABASE_URL", url));
        assert!(!text.contains("wr0ng-pw") && !text.contains("s3cr3t-pw"), "{what}: {text}");
        assert_eq!(site.snapshots().0, [] as [String; 0], "{what}");
    }
}

#[test]
fn a_bad_metric_source() {
    let world = World::start();
    let at = |address: &str| format!("http://{address}");
    let answering = |reply: fn() -> Reply| HttpServer::start(move |_| reply()).url("");
    let sources = [
        ("refused", at(&nobody().to_string())),
        ("no such host", "http://nowhere.invalid".to_string()),
        ("silent", at(&silent())),
        ("another protocol", at(&mad(b"\n\n", 1))),
        ("an error", answering(|| status(500, "no"))),
        ("credentials", answering(|| status(401, "who are you?"))),
        ("not what it should be", answering(|| ok("<html>sign in</html>"))),
        (
            "cut off",
            answering(|| Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"status\":".into())),
        ),
        ("without end", answering(|| Reply::Flood("# a comment that never ends\n"))),
    ];
    let mut cases = Vec::new();
    for (what, url) in &sources {
        for check in [
            format!("{{prometheus: {{url: '{url}', value: 'up'}}, fail: above 5}}"),
            format!("{{scrape: {{url: '{url}/metrics', value: up}}, fail: above 5}}"),
            format!("{{http: {{value: '{url}/stats#/load'}}, fail: above 5}}"),
        ] {
            cases.push(Case {
                what,
                config: format!(
                    "{}stages: [10% for 1s, 100% for 1s]\nchecks:\n  load: {check}\n{JOURNAL}",
                    world.service(&world.socket())
                ),
                url: String::new(),
                command: "verify-metrics --for 8s",
                expected: 17,
                names: "load",
            });
        }
    }
    let at_a_tenth = |site: &Site| {
        world.set_weights(BLUE_HAS_ALL);
        good(&mut site.tidegate("shift-traffic --to 10 --release v2"));
    };
    all(&world, &cases, at_a_tenth, GREEN_HAS_A_TENTH);
}

#[test]
fn a_bad_file() {
    let world = World::start();
    let service = world.service(&world.socket());
    let case = |what, config: &str, names| Case {
        what,
        config: config.to_string(),
        url: String::new(),
        command: "rollout --release v2",
        expected: 2,
        names,
    };
    let cases = [
        case("nothing in it", "", "services"),
        case("not YAML", "services: [", "tidegate.yml"),
        case("unknown key", &format!("{service}stage: [10%]\n"), "stages"),
        case("unknown adapter", "services:\n  api: {nginx: x}\n", "nginx"),
        case("stages that fall", &format!("{service}stages: [50% for 1s, 10% for 1s]\n"), "stages"),
        case("no time", &format!("{service}journal: {{file: {{path: journal, lease: 0s}}}}\n"), "lease"),
    ];
    all(&world, &cases, |_| {}, BLUE_HAS_ALL);
    let site = Site::new(&service);
    std::fs::remove_file(site.file("tidegate.yml")).unwrap();
    assert_eq!(code(&mut site.tidegate("rollout --release v2")).0, 2);
    let journal = Site::new(&format!("{service}{JOURNAL}"));
    for record in ["{", "null", "{\"format\": 99}"] {
        let folder: PathBuf = journal.journal();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("000001.json"), record).unwrap();
        let (code, text) = code(&mut journal.tidegate("shift-traffic --to 10 --release v2"));
        assert_eq!(code, 14, "{record}: {text}");
        assert_eq!(world.weights(), BLUE_HAS_ALL);
    }
}
