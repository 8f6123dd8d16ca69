//! Health checks: one request to each server every interval.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::HealthCheck;
use super::state::{Mode, Outcome, Shared};

/// Checks one server until dropped.
pub(super) async fn watch(shared: Arc<Shared>, backend: usize, server: usize, config: Arc<HealthCheck>) {
    loop {
        let address = {
            let mut state = shared.lock();
            let server = &mut state.backends[backend].servers[server];
            let checked = server.admin.mode != Mode::Maint;
            server.health.in_progress = checked;
            checked.then_some(server.address)
        };
        if let Some(address) = address {
            let started = Instant::now();
            let outcome = check(address, &config.path, started + config.interval).await;
            let duration_ms = started.elapsed().as_millis();
            shared.lock().backends[backend].checked(server, outcome, duration_ms);
        }
        tokio::time::sleep(config.interval.max(Duration::from_millis(1))).await;
    }
}

async fn check(address: SocketAddr, path: &str, deadline: Instant) -> Outcome {
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Err(_) => return Outcome::ConnectTimeout,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Outcome::Refused("Connection refused".to_owned());
        }
        Ok(Err(error)) => return Outcome::Refused(error.to_string()),
        Ok(Ok(stream)) => stream,
    };
    match timeout_at(deadline, get(stream, address, path)).await {
        Err(_) => Outcome::ResponseTimeout,
        Ok(None) => Outcome::InvalidResponse,
        Ok(Some(status)) if status.is_success() || status.is_redirection() => {
            Outcome::Passed(status.as_u16())
        }
        Ok(Some(status)) => {
            Outcome::WrongStatus(status.as_u16(), status.canonical_reason().unwrap_or_default().to_owned())
        }
    }
}

/// The status of the answer; `None` where it is none.
async fn get(stream: TcpStream, address: SocketAddr, path: &str) -> Option<hyper::StatusCode> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let response = sender.send_request(request);
    tokio::pin!(response);
    // the connection has to be driven for the answer to come, and may be over by then
    let response = tokio::select! {
        response = &mut response => response,
        _ = connection => response.await,
    };
    Some(response.ok()?.status())
}
