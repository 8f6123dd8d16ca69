//! HAProxy's runtime API: one line of commands, one answer, over a unix socket or TCP.
//!
//! HAProxy runs every command of a line, also those after a failed one, and closes the connection when it
//! has answered them all. Source: its Management Guide, chapter 9.3.

use std::{
    fmt,
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    domain::duration::spoken,
    platform::local_socket,
    port::{Context, Fault, Treat},
};

pub mod tables;

pub const PROVIDER: &str = "haproxy";

/// The table of 20 000 servers.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Where the runtime API listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    Unix(PathBuf),
    /// `host:port`
    Tcp(String),
}

/// A call that brought no whole answer.
#[derive(Debug)]
pub enum Failed {
    /// No byte of the line was sent.
    Unsent { treat: Treat, detail: String, hint: Option<&'static str> },
    /// The line was sent, wholly or in part.
    Unanswered { treat: Treat, detail: String },
}

impl Failed {
    /// The fault of a call that only reads.
    pub fn reading(self, operation: &str, object: &str) -> Fault {
        match self {
            Failed::Unsent { treat, detail, hint } => unsent(treat, operation, object, detail, hint),
            Failed::Unanswered { treat, detail } => Fault::new(treat, PROVIDER, operation, object, detail),
        }
    }

    /// The fault of a call that changes something: once a byte was sent, nobody knows.
    pub fn writing(self, operation: &str, object: &str) -> Fault {
        match self {
            Failed::Unsent { treat, detail, hint } => {
                unsent(treat, operation, object, format!("{detail}; nothing was changed"), hint)
            }
            Failed::Unanswered { detail, .. } => Fault::outcome_unknown(PROVIDER, operation, object, detail),
        }
    }
}

fn unsent(treat: Treat, operation: &str, object: &str, detail: String, hint: Option<&str>) -> Fault {
    let fault = Fault::new(treat, PROVIDER, operation, object, detail);
    match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

impl Socket {
    /// `host:port` is TCP, everything else a path that starts at `base` unless it is absolute.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if text.is_empty() || text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("socket: `{text}` is neither a path nor host:port"));
        }
        let tcp = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
        match tcp.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(port)) if port > 0 => Ok(Socket::Tcp(text.to_string())),
            Some(_) => Err(format!("socket: `{text}` does not end in a port from 1 to 65535")),
            None => Ok(Socket::Unix(base.join(text))),
        }
    }

    /// Sends one line, which may hold several commands separated by `;`, and reads the answer to its end.
    pub async fn call(&self, cx: &Context, line: &str) -> Result<String, Failed> {
        match self {
            Socket::Unix(path) => converse(cx, local_socket(path), line).await,
            Socket::Tcp(address) => converse(cx, TcpStream::connect(address), line).await,
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Unix(path) => write!(f, "{}", path.display()),
            Socket::Tcp(address) => f.write_str(address),
        }
    }
}

async fn converse<S>(
    cx: &Context,
    connect: impl Future<Output = std::io::Result<S>>,
    line: &str,
) -> Result<String, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = match cx.bounded(connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(refused(&error)),
        Err(limit) => {
            let detail = format!("no connection within {}", spoken(limit.0));
            return Err(Failed::Unsent { treat: Treat::Temporary, detail, hint: None });
        }
    };
    let unanswered = |treat, detail| Failed::Unanswered { treat, detail };
    let answer = cx.bounded(async {
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    });
    match answer.await {
        Err(limit) => Err(unanswered(
            Treat::Temporary,
            format!("it did not finish its answer within {}", spoken(limit.0)),
        )),
        Ok(Err(error)) => Err(unanswered(Treat::Temporary, format!("the connection broke: {error}"))),
        Ok(Ok(answer)) if answer.is_empty() => {
            Err(unanswered(Treat::Temporary, "it closed the connection without an answer".into()))
        }
        Ok(Ok(answer)) if answer.len() as u64 > ANSWER_BYTES_MAX => {
            Err(unanswered(Treat::Permanent, "its answer is larger than 8 MiB".into()))
        }
        Ok(Ok(answer)) => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// A restart takes the socket away for a moment, so a missing one may come back; a denied one will not.
fn refused(error: &std::io::Error) -> Failed {
    use std::io::ErrorKind;
    let (treat, hint) = match error.kind() {
        ErrorKind::PermissionDenied => (
            Treat::Permanent,
            Some(
                "add this user to the socket's group, or set `user`, `group` and `mode` on the `stats socket` line",
            ),
        ),
        ErrorKind::NotFound => {
            (Treat::Temporary, Some("compare `socket` with the `stats socket` line of haproxy.cfg"))
        }
        ErrorKind::ConnectionRefused => (Treat::Temporary, Some("is HAProxy running?")),
        _ => (Treat::Temporary, None),
    };
    Failed::Unsent { treat, detail: format!("cannot connect: {error}"), hint }
}

/// The answers of `count` commands that say nothing when they succeed: an empty line each, or a text and
/// an empty line. `None` where the answer does not have that form.
pub fn outcomes(answer: &str, count: usize) -> Option<Vec<Result<(), String>>> {
    let mut rest = answer;
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        if let Some(after) = rest.strip_prefix('\n') {
            found.push(Ok(()));
            rest = after;
        } else {
            let (text, after) = rest.split_once("\n\n")?;
            found.push(Err(text.trim().to_string()));
            rest = after;
        }
    }
    rest.trim().is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_a_path_or_a_host_and_port() {
        let parse = |text| Socket::parse(text, Path::new("/etc/shop"));
        assert_eq!(parse("/run/haproxy.sock"), Ok(Socket::Unix("/run/haproxy.sock".into())));
        assert_eq!(parse("haproxy.sock"), Ok(Socket::Unix("/etc/shop/haproxy.sock".into())));
        assert_eq!(parse("/run/a:1"), Ok(Socket::Unix("/run/a:1".into())));
        assert_eq!(parse("127.0.0.1:9999"), Ok(Socket::Tcp("127.0.0.1:9999".into())));
        assert_eq!(parse("[::1]:9999"), Ok(Socket::Tcp("[::1]:9999".into())));
        for bad in ["", "9999", "localhost:http", "localhost:0", "localhost:70000"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_command_of_a_line_has_its_answer() {
        let no = || Err("No such server.".to_string());
        assert_eq!(outcomes("\n\n", 2), Some(vec![Ok(()), Ok(())]));
        assert_eq!(outcomes("\nNo such server.\n\n\n", 3), Some(vec![Ok(()), no(), Ok(())]));
        assert_eq!(outcomes("No such server.\n\nNo such server.\n\n", 2), Some(vec![no(), no()]));
        assert_eq!(outcomes("\n", 2), None);
        assert_eq!(outcomes("No such ser", 1), None);
        assert_eq!(outcomes("\n\nwhat\n", 2), None);
    }
}
