//! Files that are right, files that are wrong, and what is said about them.

mod connecting;
mod environments;
mod explained;
mod fake;
mod refusals;
mod right;
mod schema;

use super::*;

/// What every good file of these tests begins with.
const SHOP: &str = "\
name: shop
services:
  api: {haproxy: {socket: /run/haproxy.sock, backend: api, sides: [blue, green]}}
";

fn no_env() -> Environment {
    std::sync::Arc::new(|_: &str| None)
}

fn env_of(pairs: &'static [(&'static str, &'static str)]) -> Environment {
    std::sync::Arc::new(move |name: &str| {
        pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string())
    })
}

fn read_in(environment: &str, text: &str, env: Environment) -> Result<Config, Failure> {
    let environment = EnvironmentName::new(environment).unwrap();
    Config::read(Path::new("tidegate.yml"), text.to_string(), &environment, env, &fake::REGISTRY)
}

fn read(text: &str) -> Result<Config, Failure> {
    read_in("production", text, no_env())
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A good file with `more` after it.
fn shop(more: &str) -> Config {
    good(&format!("{SHOP}{more}"))
}

fn refusal<T>(result: Result<T, Failure>) -> String {
    match result {
        Ok(_) => "LOADS".into(),
        Err(failure) => {
            assert_eq!(failure.exit_code(), 2);
            match failure.hint() {
                Some(hint) => format!("{failure}\nhint: {hint}"),
                None => failure.to_string(),
            }
        }
    }
}
