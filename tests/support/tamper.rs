//! A man in the middle of the runtime API, and a clock whose deadline passes when told.

use async_trait::async_trait;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tidegate::{
    demo::splitter::RuntimeAddress,
    port::{Clock, Context},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::watch,
};

use super::both::ask;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// Takes the line and never answers; the clock's deadline passes then.
    Hang,
    /// Takes the line and closes.
    Close,
    /// Answers with half of the answer.
    Truncate,
    /// Answers something else.
    Garbage,
    /// Answers without end.
    Flood,
    /// Passes on what stands before the first `;`, and closes.
    FirstCommandOnly,
}

/// Serves the first `passed` connections as `upstream` would, then tampers.
pub async fn tamper(upstream: &RuntimeAddress, passed: usize, how: Tampering) -> (RuntimeAddress, Deadline) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let (upstream, deadline) = (upstream.clone(), Deadline::default());
    let clock = deadline.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let line = line.trim_end();
            let answer = match how {
                _ if connection < passed => ask(&upstream, line).await,
                Tampering::Hang => {
                    held.push(stream);
                    clock.pass();
                    continue;
                }
                Tampering::Close => String::new(),
                Tampering::Truncate => {
                    let answer = ask(&upstream, line).await;
                    answer[..answer.len() / 2].to_string()
                }
                Tampering::Garbage => "HTTP/1.1 400 Bad Request\r\n\r\n".to_string(),
                Tampering::Flood => "# pxname,svname,\n".to_string() + &"x,y,\n".repeat(2_000_000),
                Tampering::FirstCommandOnly => {
                    ask(&upstream, line.split(';').next().unwrap()).await;
                    String::new()
                }
            };
            // the other end may have heard enough
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (RuntimeAddress::Tcp(address), deadline)
}

/// Time stands still until the deadline passes.
#[derive(Clone)]
pub struct Deadline(Arc<watch::Sender<bool>>);

impl Default for Deadline {
    fn default() -> Self {
        Deadline(Arc::new(watch::Sender::new(false)))
    }
}

const LIMIT: Duration = Duration::from_secs(5);

impl Deadline {
    fn pass(&self) {
        self.0.send_replace(true);
    }

    pub fn cx(&self) -> Context {
        Context::new(Arc::new(self.clone()), LIMIT)
    }
}

#[async_trait]
impl Clock for Deadline {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        if *self.0.borrow() { LIMIT } else { Duration::ZERO }
    }

    async fn sleep(&self, _: Duration) {
        let _ = self.0.subscribe().wait_for(|passed| *passed).await;
    }
}
