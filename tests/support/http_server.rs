//! An HTTP server on a loopback port that answers, or misbehaves, as a test says.

#![allow(dead_code, clippy::unwrap_used)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET /path?query`
    pub line: String,
    /// In lower case, with their values as sent: `authorization: Bearer x`.
    pub headers: Vec<String>,
    pub body: String,
}

impl Asked {
    pub fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|line| line == header)
    }
}

pub enum Reply {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// These bytes and then the end of the connection.
    Raw(Vec<u8>),
    /// Nothing, until the client goes away.
    Hang,
    /// The head, then these bytes one by one and very slowly, for ever.
    Drip(u8),
    /// A body without end, as fast as it is taken.
    Flood(&'static str),
}

pub fn ok(body: impl Into<String>) -> Reply {
    Reply::Answer(200, Vec::new(), body.into())
}

pub fn status(status: u16, body: &str) -> Reply {
    Reply::Answer(status, Vec::new(), body.into())
}

pub struct HttpServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl HttpServer {
    pub fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (asked.clone(), Arc::new(reply));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (seen, reply) = (seen.clone(), reply.clone());
                std::thread::spawn(move || serve(connection, &seen, &*reply));
            }
        });
        HttpServer { address, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// An address that nobody listens on.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(mut connection: TcpStream, seen: &Mutex<Vec<Asked>>, reply: &dyn Fn(&Asked) -> Reply) {
    let Some(asked) = read(&mut connection) else {
        return;
    };
    seen.lock().unwrap().push(asked.clone());
    // a client that goes away is not this server's trouble
    let _ = answer(&mut connection, reply(&asked));
}

fn answer(connection: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n";
    match reply {
        Reply::Answer(status, headers, body) => {
            let headers: String =
                headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let length = body.len();
            write!(
                connection,
                "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        }
        Reply::Raw(bytes) => connection.write_all(&bytes),
        Reply::Hang => connection.read(&mut [0]).map(|_| ()),
        Reply::Drip(byte) => {
            connection.write_all(HEAD)?;
            connection.set_read_timeout(Some(Duration::from_millis(5)))?;
            while !matches!(connection.read(&mut [0]), Ok(0)) {
                connection.write_all(&[byte])?;
            }
            Ok(())
        }
        Reply::Flood(line) => {
            connection.write_all(HEAD)?;
            let block = line.repeat(1000);
            loop {
                connection.write_all(block.as_bytes())?;
            }
        }
    }
}

fn read(connection: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_string();
            let headers: Vec<String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
                .collect();
            let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(Asked { line, headers, body: body.to_string() });
            }
        }
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}
