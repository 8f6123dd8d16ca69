//! The runtime API: sockets that take a line of commands, answer and close.
//!
//! An answer is a text and an empty line. A command that changed something answers with the empty line alone; the texts of
//! `set server … addr` are the exception. Commands are parsed and refused in HAProxy's words.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::state::{Backend, Mode, Shared, State};
use super::stats::{self, Filter};
use super::{Level, WEIGHT_MAX};

/// HAProxy's buffer: a longer line is refused by closing.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// `stats timeout`.
const IDLE_MAX: Duration = Duration::from_secs(10);
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What `help` lists: the commands there are, in HAProxy's words.
const COMMANDS: &str =
    "  disable server (DEPRECATED)             : disable a server for maintenance (use 'set server' instead)
  enable server  (DEPRECATED)             : enable a disabled server (use 'set server' instead)
  get weight <bk>/<srv>                   : report a server's current weight
  set server <bk>/<srv> [opts]            : change a server's state, weight, address or ssl
  set weight <bk>/<srv>  (DEPRECATED)     : change a server's weight (use 'set server' instead)
  show info [desc|json|typed|float]*      : report information about the running process
  show servers state [<backend>]          : dump volatile server information (all or for a single backend)
  show stat [desc|json|no-maint|typed|up]*: report counters for each proxy and server
  help [<command>]                        : list matching or all commands
  quit                                    : disconnect
";

/// One socket's view of the splitter.
#[derive(Clone)]
pub(super) struct Api {
    shared: Arc<Shared>,
    level: Level,
}

/// Where clients of the runtime API come from.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Listener {
    async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// What a command answers, without the line end that [`fmt::Display`] adds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// Changed, nothing to say.
    Done,
    /// A message, or the refusal of a command; an empty line follows.
    Message(String),
    /// A table that ends its own lines; an empty line follows.
    Table(String),
    /// A message without an empty line after it.
    Bare(&'static str),
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => writeln!(formatter),
            Self::Message(text) => write!(formatter, "{text}\n\n"),
            Self::Table(text) => writeln!(formatter, "{text}"),
            Self::Bare(text) => writeln!(formatter, "{text}"),
        }
    }
}

fn message(text: impl Into<String>) -> Answer {
    Answer::Message(text.into())
}

impl Api {
    pub(super) fn new(shared: Arc<Shared>, level: Level) -> Self {
        Self { shared, level }
    }

    /// Serves one socket until dropped.
    pub(super) async fn serve(self, listener: Listener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(stream) => {
                        let api = self.clone();
                        connections.spawn(async move {
                            let _ = tokio::time::timeout(IDLE_MAX, api.converse(stream)).await;
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "failed to accept a connection to the runtime API");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Answers the lines that arrived together; what has no line end is not a command.
    async fn converse(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        let mut input = Vec::new();
        while !input.ends_with(b"\n") && input.len() < LINE_BYTES_MAX {
            if stream.read_buf(&mut input).await? == 0 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&input);
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            for command in split_commands(line.trim_end_matches('\r')) {
                let words = split_words(&command);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                if words.first() == Some(&"quit") {
                    return stream.shutdown().await;
                }
                let answer = self.execute(&words).to_string();
                stream.write_all(answer.as_bytes()).await?;
            }
        }
        stream.shutdown().await
    }

    fn execute(&self, words: &[&str]) -> Answer {
        let mut state = self.shared.lock();
        // arguments that are not there count as empty
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let changes =
            matches!((word(0), word(1)), ("set", "weight" | "server") | ("enable" | "disable", "server"));
        if changes && self.level != Level::Admin {
            return message("Permission denied");
        }
        let result = match (word(0), word(1)) {
            ("show", "stat") => show_stat(&state, [word(2), word(3), word(4)]),
            ("show", "info") => Ok(Answer::Table(stats::info(&state))),
            ("show", "servers") if word(2) == "state" => show_servers_state(&state, word(3)),
            // of all commands, this one takes an empty backend for an unknown one
            ("get", "weight") if word(2).starts_with('/') && word(2).len() > 1 => {
                Err(message("No such backend."))
            }
            ("get", "weight") => find(&mut state, word(2)).map(|(backend, server)| {
                let server = &backend.servers[server];
                message(format!("{} (initial {})", server.weight, server.weight_initial))
            }),
            ("set", "weight") => {
                find(&mut state, word(2)).and_then(|(backend, server)| set_weight(backend, server, word(3)))
            }
            ("set", "server") => find(&mut state, word(2))
                .and_then(|(backend, server)| set_server(backend, server, &words[3.min(words.len())..])),
            ("enable", "server") => set_mode(&mut state, word(2), Mode::Ready),
            ("disable", "server") => set_mode(&mut state, word(2), Mode::Maint),
            ("help", _) => {
                Ok(Answer::Table(format!("The following commands are valid at this level:\n{COMMANDS}")))
            }
            ("", _) => Ok(Answer::Table(format!(
                "Unknown command. Please enter one of the following commands only:\n{COMMANDS}"
            ))),
            _ => Ok(Answer::Table(format!(
                "Unknown command, but maybe one of the following ones is a better match:\n{COMMANDS}"
            ))),
        };
        result.unwrap_or_else(|refusal| refusal)
    }
}

fn show_stat(state: &State, [proxy, types, server]: [&str; 3]) -> Result<Answer, Answer> {
    if server.is_empty() {
        return Ok(Answer::Table(stats::stat(state, Filter::default())));
    }
    let wanted = proxy.parse::<i64>().unwrap_or_default();
    let by_name = state.backends.iter().enumerate().find_map(|(index, backend)| {
        let front = backend.name.len() + "-front".len() == proxy.len()
            && proxy.strip_suffix("-front") == Some(backend.name.as_str());
        if front {
            return Some(state.front_id(index));
        }
        (backend.name == proxy).then(|| state.backend_id(index))
    });
    let proxy = match (wanted, by_name) {
        (-1, _) => None,
        (_, Some(id)) => Some(id),
        (id @ 1.., None) => usize::try_from(id).ok(),
        _ => return Err(message("No such proxy.")),
    };
    let types = types.parse::<i64>().ok().and_then(|types| u32::try_from(types).ok());
    let server = server.parse::<i64>().ok().and_then(|server| usize::try_from(server).ok());
    Ok(Answer::Table(stats::stat(state, Filter { proxy, types, server })))
}

fn show_servers_state(state: &State, backend: &str) -> Result<Answer, Answer> {
    if backend.is_empty() {
        return Ok(Answer::Table(stats::servers_state(state, None)));
    }
    match state.backends.iter().position(|known| known.name == backend) {
        Some(index) => Ok(Answer::Table(stats::servers_state(state, Some(index)))),
        None => Err(message("Can't find backend.")),
    }
}

/// The server of `backend/server`.
fn find<'a>(state: &'a mut State, name: &str) -> Result<(&'a mut Backend, usize), Answer> {
    let Some((backend, server)) =
        name.split_once('/').filter(|(backend, server)| !backend.is_empty() && !server.is_empty())
    else {
        return Err(message("Require 'backend/server'."));
    };
    let backend = state.backend(backend).ok_or_else(|| message("No such backend."))?;
    let server = backend
        .servers
        .iter()
        .position(|known| known.name == server)
        .ok_or_else(|| message("No such server."))?;
    Ok((backend, server))
}

fn set_mode(state: &mut State, server: &str, mode: Mode) -> Result<Answer, Answer> {
    let (backend, server) = find(state, server)?;
    backend.set_mode(server, mode);
    Ok(Answer::Done)
}

fn set_server(backend: &mut Backend, server: usize, words: &[&str]) -> Result<Answer, Answer> {
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    match word(0) {
        "weight" => set_weight(backend, server, word(1)),
        "state" => {
            let mode = match word(1) {
                "ready" => Mode::Ready,
                "drain" => Mode::Drain,
                "maint" => Mode::Maint,
                _ => {
                    return Err(message("'set server <srv> state' expects 'ready', 'drain' and 'maint'."));
                }
            };
            backend.set_mode(server, mode);
            Ok(Answer::Done)
        }
        "addr" if word(1).is_empty() => {
            Err(message("set server <b>/<s> addr requires an address and optionally a port."))
        }
        "addr" => {
            let port = (word(2) == "port").then(|| word(3));
            Ok(message(set_address(&mut backend.servers[server].address, word(1), port)))
        }
        _ => Err(message(
            "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | \
             check-port | fqdn | health | ssl | state | weight",
        )),
    }
}

/// Tells what was changed; a bad port leaves the new address in place.
fn set_address(current: &mut std::net::SocketAddr, address: &str, port: Option<&str>) -> String {
    const BY: &str = "by 'stats socket command'";
    let Ok(address) = address.parse::<IpAddr>() else {
        return format!("Invalid addr '{address}' {BY}");
    };
    let mut report = if address == current.ip() {
        "no need to change the addr".to_owned()
    } else {
        format!("IP changed from '{}' to '{address}'", current.ip())
    };
    current.set_ip(address);
    match port.map(|port| (port, port.parse::<i64>())) {
        None => {}
        Some((port, _)) if port.starts_with(['+', '-']) => {
            report += ", can't change <port> to port map because it is incompatible with current health check port \
                       configuration (use 'port' statement from the 'server' directive.";
        }
        Some((port, Err(_))) => report += &format!(", problem converting port '{port}' to an int"),
        Some((_, Ok(port))) => {
            // too large a port wraps around in HAProxy, too
            let port = (port & 0xffff) as u16;
            if port == current.port() {
                report += ", no need to change the port";
            } else {
                report += &format!(", port changed from '{}' to '{port}'", current.port());
                current.set_port(port);
            }
        }
    }
    format!("{report} {BY}")
}

fn set_weight(backend: &mut Backend, server: usize, text: &str) -> Result<Answer, Answer> {
    if text.is_empty() {
        return Err(message("Require <weight> or <weight%>."));
    }
    let weight = parse_weight(text, backend.servers[server].weight_initial)?;
    backend.set_weight(server, weight);
    Ok(Answer::Done)
}

/// A weight, or a percentage of the initial one that is cut off at the largest weight.
fn parse_weight(text: &str, initial: u16) -> Result<u16, Answer> {
    let digits_from = usize::from(text.starts_with(['+', '-']));
    let end =
        text[digits_from..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |end| digits_from + end);
    if end == digits_from {
        return Err(Answer::Bare("Empty weight string empty or preceded by garbage"));
    }
    let number: i64 = text[..end].parse().unwrap_or(i64::MAX);
    let relative = match &text[end..] {
        "" => false,
        "%" => true,
        _ => return Err(Answer::Bare("Trailing garbage in weight string")),
    };
    let number = match (relative, number) {
        (true, ..0) => return Err(message("Relative weight must be positive.")),
        (true, percent) => percent.saturating_mul(i64::from(initial)) / 100,
        (false, number) if !(0..=i64::from(WEIGHT_MAX)).contains(&number) => {
            return Err(message("Absolute weight can only be between 0 and 256 inclusive."));
        }
        (false, number) => number,
    };
    Ok(u16::try_from(number).unwrap_or(WEIGHT_MAX).min(WEIGHT_MAX))
}

/// The commands of a line: separated by `;`, which a backslash makes an ordinary character.
fn split_commands(line: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    let mut escaped = false;
    for c in line.chars() {
        if c == ';' && !escaped {
            commands.push(String::new());
        } else if let Some(command) = commands.last_mut() {
            command.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    commands
}

/// The words of a command: separated by blanks; a backslash makes the next character part of the word.
fn split_words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_separated_by_blanks_and_joined_by_backslashes() {
        assert_eq!(split_words("  get\tweight  api/my\\ server "), ["get", "weight", "api/my server"]);
        assert!(split_words("  ").is_empty());
    }

    #[test]
    fn commands_are_separated_by_semicolons() {
        assert_eq!(split_commands("a b; c;"), ["a b", " c", ""]);
        assert_eq!(split_commands("a\\;b"), ["a\\;b"]);
    }

    #[test]
    fn percentages_refer_to_the_initial_weight_and_stop_at_the_largest() {
        assert_eq!(parse_weight("50%", 100), Ok(50));
        assert_eq!(parse_weight("1000%", 100), Ok(256));
        assert_eq!(parse_weight("50%", 0), Ok(0));
        assert_eq!(parse_weight("+5", 100), Ok(5));
        assert!(parse_weight("99999999999999999999", 1).is_err());
    }
}
