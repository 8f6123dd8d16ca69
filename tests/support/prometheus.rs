//! A real Prometheus on a free loopback port that scrapes addresses every second.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tidegate::{
    adapter::web::{Request, Web, escape},
    port::{Context, clock::SystemClock},
};

const STARTS_MAX: usize = 5;
const POLLS_MAX: usize = 600;
const POLL: Duration = Duration::from_millis(50);

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    pub url: String,
    process: Child,
    web: Web,
    cx: Context,
    directory: TempDir,
}

impl Prometheus {
    /// Starts it and returns when it is ready.
    pub async fn start(scraped: SocketAddr) -> Self {
        Self::start_for(&[scraped]).await
    }

    /// The same with several to scrape.
    pub async fn start_for(scraped: &[SocketAddr]) -> Self {
        for _ in 0..STARTS_MAX {
            // another process may take the port in between
            let address = super::http_server::nobody();
            let mut prometheus = Self::spawn(scraped, address);
            if prometheus.becomes_ready().await {
                return prometheus;
            }
        }
        panic!("prometheus did not become ready");
    }

    fn spawn(scraped: &[SocketAddr], address: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("prometheus.yml");
        let targets: Vec<String> = scraped.iter().map(|address| format!("'{address}'")).collect();
        let targets = targets.join(", ");
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: test, static_configs: [{{targets: [{targets}]}}]}}]\n"
        );
        std::fs::write(&file, config).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // clients keep their connections, and many releases are asked about
            .arg("--web.max-connections=4096")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let cx = Context::new(Arc::new(SystemClock::default()), Duration::from_secs(120));
        Prometheus { url: format!("http://{address}"), process, web: Web::new("test"), cx, directory }
    }

    async fn becomes_ready(&mut self) -> bool {
        for _ in 0..POLLS_MAX {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if self.get("/-/ready").await.is_some() {
                return true;
            }
            self.cx.clock().sleep(POLL).await;
        }
        false
    }

    /// Waits until the instant query yields one series of this value.
    pub async fn wait_for(&self, promql: &str, value: &str) {
        let mut last = None;
        for _ in 0..POLLS_MAX {
            last = self.get(&format!("/api/v1/query?query={}", escape(promql))).await;
            if last.as_ref().is_some_and(|text| text.contains(&format!(",\"{value}\"]"))) {
                return;
            }
            self.cx.clock().sleep(POLL).await;
        }
        panic!("{promql} never became {value}: {last:?}");
    }

    async fn get(&self, path: &str) -> Option<String> {
        let request = Request::get(format!("{}{path}", self.url));
        let answer = self.web.ask(&self.cx, "wait", request, 1024 * 1024).await.ok()?;
        (answer.status == 200).then(|| answer.text().into_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
