//! `tidegate init`: a first file, short and commented, from a few answers.

use std::path::Path;

use serde_json::json;

use super::yaml;

/// What a first file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    pub name: String,
    /// Where HAProxy's runtime API listens: a path or `host:port`.
    pub socket: String,
    pub services: Vec<ServiceAnswer>,
    /// The environment variable that holds the database's URL, if there is one to snapshot.
    pub database: Option<String>,
    /// The command that migrates, if there is one, and the one that takes it back.
    pub migrate: Option<(String, Option<String>)>,
    /// Such as `10% for 15m`; empty for the standard ones.
    pub stages: Vec<String>,
}

/// One backend of HAProxy that has two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAnswer {
    pub name: String,
    pub backend: String,
    /// The servers that are the two sides.
    pub sides: [String; 2],
    /// A path that answers 200 when an instance is well.
    pub health: Option<String>,
}

impl Default for Answers {
    fn default() -> Self {
        Answers {
            name: "shop".into(),
            socket: "/run/haproxy.sock".into(),
            services: vec![ServiceAnswer {
                name: "api".into(),
                backend: "api".into(),
                sides: ["blue".into(), "green".into()],
                health: None,
            }],
            database: None,
            migrate: None,
            stages: Vec::new(),
        }
    }
}

/// The text of the file; it loads when the answers are names and times that can stand in one.
pub fn render(answers: &Answers) -> String {
    let mut out = Text::default();
    out.line("# What tidegate releases, and how. `tidegate plan --explain` shows every default.");
    out.line(&format!("name: {}", flow(&answers.name)));
    out.line("");
    out.line("services:");
    for service in &answers.services {
        render_service(service, &answers.socket, &mut out);
    }
    if let Some(variable) = &answers.database {
        out.line("");
        out.line("databases:  # snapshotted before anything else changes");
        out.line(&format!("  main: {{postgres: {{url: {{env: {}}}}}, keep: 14d}}", flow(variable)));
    }
    if let Some((up, undo)) = &answers.migrate {
        out.line("");
        out.line("migrations:");
        out.line("  schema:");
        out.line(&format!("    run: {}", flow(up)));
        match undo {
            Some(undo) => out.line(&format!("    undo: {}", flow(undo))),
            None => out.line("    # undo: the command that takes it back"),
        }
    }
    out.line("");
    let standard =
        || crate::domain::stage::Stages::standard().as_slice().iter().map(|s| s.to_string()).collect();
    let stages: Vec<String> = if answers.stages.is_empty() { standard() } else { answers.stages.clone() };
    let stages: Vec<String> = stages.iter().map(|s| flow(s)).collect();
    out.line("# how far, and how long to watch there");
    out.line(&format!("stages: [{}]", stages.join(", ")));
    out.line("");
    out.line("checks:  # `fail` rolls back, `warn` only tells");
    out.line("  healthy: {target: instances, fail: below 50%}");
    out.line("  errors: {haproxy: errors, fail: [above 5%, above baseline + 1pp], warn: above 1%}");
    out.0
}

fn render_service(service: &ServiceAnswer, socket: &str, out: &mut Text) {
    let [blue, green] = &service.sides;
    out.line(&format!("  {}:", yaml::key(&service.name)));
    out.line(&format!(
        "    haproxy: {{socket: {}, backend: {}, sides: [{}, {}]}}",
        flow(socket),
        flow(&service.backend),
        flow(blue),
        flow(green)
    ));
    match &service.health {
        Some(path) => out.line(&format!("    health: {}", flow(path))),
        None => out.line("    # health: /health  (a path that answers 200 when an instance is well)"),
    }
    out.line("    # deploy: {run: ./deploy.sh}  (brings the candidate up: TIDEGATE_SIDE, TIDEGATE_RELEASE)");
}

/// A text that may stand inside brackets too.
fn flow(text: &str) -> String {
    let plain = yaml::inline_text(text);
    let unsafe_inside = plain.contains([',', '[', ']', '{', '}']);
    if unsafe_inside && !plain.starts_with('"') { json!(text).to_string() } else { plain }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// What `dir` shows: its name, HAProxy's backends with two servers, the tool that migrates.
pub fn detect(dir: &Path) -> Answers {
    let mut answers = Answers::default();
    let folder =
        dir.canonicalize().ok().and_then(|d| d.file_name().map(|n| n.to_string_lossy().into_owned()));
    answers.name = package_name(dir).or(folder).and_then(|n| named(&n)).unwrap_or(answers.name);
    if let Some(found) = read(&dir.join("haproxy.cfg")).map(|text| haproxy(&text)) {
        answers.socket = found.socket.unwrap_or(answers.socket);
        if !found.services.is_empty() {
            answers.services = found.services;
        }
    }
    if dir.join("alembic.ini").is_file() {
        let undo = r#"alembic downgrade "$TIDEGATE_REVISION_BEFORE""#;
        answers.migrate = Some(("alembic upgrade head".into(), Some(undo.into())));
    }
    answers
}

const FILE_BYTES_MAX: u64 = 1024 * 1024;

fn read(path: &Path) -> Option<String> {
    let small = std::fs::metadata(path).ok()?.len() <= FILE_BYTES_MAX;
    if small { std::fs::read_to_string(path).ok() } else { None }
}

fn package_name(dir: &Path) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(&read(&dir.join("package.json"))?).ok()?;
    Some(package.get("name")?.as_str()?.to_string())
}

/// The last part of a scoped name, without what no name may hold.
fn named(text: &str) -> Option<String> {
    let last = text.rsplit('/').next().unwrap_or(text);
    let kept: String = last.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    let name = kept.trim_start_matches(['.', '_', '-']).chars().take(64).collect::<String>();
    crate::domain::names::UnitName::new(&*name).ok().map(String::from)
}

struct Found {
    socket: Option<String>,
    services: Vec<ServiceAnswer>,
}

/// Backends with exactly two servers, and the first admin socket.
fn haproxy(text: &str) -> Found {
    let mut found = Found { socket: None, services: Vec::new() };
    let mut backends: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["backend" | "listen", name, ..] => {
                inside = true;
                backends.push(((*name).to_string(), Vec::new()));
            }
            ["global" | "defaults" | "frontend" | "peers" | "resolvers" | "userlist", ..] => inside = false,
            ["server", name, ..] if inside => {
                if let Some((_, servers)) = backends.last_mut() {
                    servers.push((*name).to_string());
                }
            }
            ["stats", "socket", address, rest @ ..] if rest.contains(&"admin") => {
                let path = address.strip_prefix("ipv4@").or(address.strip_prefix("unix@"));
                found.socket.get_or_insert_with(|| path.unwrap_or(address).to_string());
            }
            _ => {}
        }
    }
    for (backend, servers) in backends {
        if let ([one, two], Some(name)) = (servers.as_slice(), named(&backend)) {
            let sides = [one.clone(), two.clone()];
            found.services.push(ServiceAnswer { name, backend, sides, health: None });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, domain::names::EnvironmentName};

    fn loads(answers: &Answers) -> Config {
        let text = render(answers);
        let production = EnvironmentName::new("production").unwrap();
        Config::from_text(Path::new("tidegate.yml"), text.clone(), &production, std::sync::Arc::new(|_| None))
            .unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn a_first_file_loads_and_fits_on_a_screen() {
        let config = loads(&Answers::default());
        assert!(config.text.lines().count() < 24, "{}", config.text);
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        insta::assert_snapshot!(config.text);
    }

    #[test]
    fn every_answer_is_in_the_file_whatever_it_holds() {
        let answers = Answers {
            name: "404".into(),
            socket: "127.0.0.1:9999".into(),
            services: vec![
                ServiceAnswer {
                    name: "no".into(),
                    backend: "be_api".into(),
                    sides: ["1".into(), "2.0".into()],
                    health: Some("/health?a=[1,2]&b={}".into()),
                },
                ServiceAnswer {
                    name: "web".into(),
                    backend: "web".into(),
                    sides: ["null".into(), "true".into()],
                    health: None,
                },
            ],
            database: Some("DATABASE_URL".into()),
            migrate: Some(("npm run up -- --env=\"a b\" # x".into(), Some("echo {a: [b, c]}, 'd'".into()))),
            stages: vec!["5% for 1h".into(), "100%".into()],
        };
        let config = loads(&answers);
        let sections = &config.sections;
        assert_eq!(sections.name.as_str(), "404");
        assert_eq!((sections.services.len(), sections.databases.len()), (2, 1));
        assert_eq!(sections.services[0].name.as_str(), "no");
        let up = sections.migrations[0].up.command.options.to_json();
        assert_eq!(up["command"], "npm run up -- --env=\"a b\" # x");
        let undo =
            sections.migrations[0].undo.as_ref().map(|s| s.command.options.to_json()["command"].clone());
        assert_eq!(undo, Some(json!("echo {a: [b, c]}, 'd'")));
        assert_eq!(sections.stages.as_slice().len(), 2);
    }

    #[test]
    fn a_repository_is_asked_for_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("package.json", r#"{"name": "@acme/web-shop"}"#);
        write("alembic.ini", "[alembic]\n");
        write(
            "haproxy.cfg",
            "global\n  stats socket /run/h.sock mode 600 level admin\nfrontend f\n  bind :80\nbackend api # two\n  \
             server blue 10.0.0.1:80\n  server green 10.0.0.2:80 # x\nbackend one\n  server a 10.0.0.3:80\n",
        );
        let answers = detect(dir.path());
        assert_eq!((answers.name.as_str(), answers.socket.as_str()), ("web-shop", "/run/h.sock"));
        let services: Vec<_> = answers.services.iter().map(|s| (s.name.as_str(), s.sides.clone())).collect();
        assert_eq!(services, [("api", ["blue".to_string(), "green".to_string()])]);
        assert!(answers.migrate.is_some());
        loads(&answers);
    }
}
