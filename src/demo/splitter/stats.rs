//! The tables of the runtime API: `show stat`, `show servers state`, `show info`.

use std::fmt::Write as _;

use tokio::time::Instant;

use super::columns::{self, row};
use super::state::{Backend, Counters, Mode, Outcome, Server, State};

/// The version whose answers the splitter gives.
pub(super) const VERSION: &str = "2.6";

/// Rows of `show stat <proxy> <types> <server>`; `None` leaves nothing out.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Filter {
    pub(super) proxy: Option<usize>,
    /// 1 frontends, 2 backends, 4 servers.
    pub(super) types: Option<u32>,
    pub(super) server: Option<usize>,
}

impl Filter {
    fn has(self, proxy: usize, kind: u32) -> bool {
        self.proxy.is_none_or(|id| id == proxy) && self.types.is_none_or(|types| types & kind != 0)
    }
}

/// `show stat`: frontends first, then each backend's servers and its `BACKEND` row, as for a configuration in that order.
pub(super) fn stat(state: &State, filter: Filter) -> String {
    let mut table = format!("# {}\n", columns::COLUMNS);
    for (index, backend) in state.backends.iter().enumerate() {
        if filter.has(state.front_id(index), 1) {
            table += &frontend(&format!("{}-front", backend.name), state.front_id(index), &backend.front);
        }
    }
    let metrics = state.front_id(state.backends.len());
    if state.has_metrics && filter.has(metrics, 1) {
        table += &frontend("metrics", metrics, &Counters::default());
    }
    for (index, backend) in state.backends.iter().enumerate() {
        let id = state.backend_id(index);
        for (index, server) in backend.servers.iter().enumerate() {
            if filter.has(id, 4) && filter.server.is_none_or(|sid| sid == index + 1) {
                table += &server_row(backend, server, id, index + 1);
            }
        }
        if filter.has(id, 2) {
            table += &backend_row(backend, id);
        }
    }
    table
}

type Fields = Vec<(&'static str, String)>;

fn frontend(name: &str, id: usize, counters: &Counters) -> String {
    let mut fields = vec![
        ("pxname", name.to_owned()),
        ("iid", id.to_string()),
        ("stot", counters.sessions.to_string()),
        ("req_tot", counters.requests.to_string()),
        ("conn_tot", counters.sessions.to_string()),
    ];
    fields.extend(responses(counters));
    row(columns::FRONTEND, &fields)
}

fn backend_row(backend: &Backend, id: usize) -> String {
    let weight: u32 = backend.active().map(|server| u32::from(server.weight)).sum();
    let mut fields = vec![
        ("pxname", backend.name.clone()),
        ("iid", id.to_string()),
        ("status", (if backend.up { "UP" } else { "DOWN" }).to_owned()),
        ("weight", weight.to_string()),
        ("uweight", weight.to_string()),
        ("act", backend.active().count().to_string()),
        ("chkdown", backend.downs.to_string()),
        ("lastchg", seconds_since(backend.changed)),
    ];
    fields.extend(traffic(&backend.counters));
    row(columns::BACKEND, &fields)
}

fn server_row(backend: &Backend, server: &Server, id: usize, sid: usize) -> String {
    let mut fields = vec![
        ("pxname", backend.name.clone()),
        ("svname", server.name.clone()),
        ("iid", id.to_string()),
        ("sid", sid.to_string()),
        ("status", status(backend, server)),
        ("weight", server.weight.to_string()),
        ("uweight", server.weight.to_string()),
        ("lastchg", seconds_since(server.changed)),
        ("addr", server.address.to_string()),
    ];
    fields.extend(traffic(&server.counters));
    if let Some(check) = &backend.check {
        let health = &server.health;
        fields.push(("chkfail", health.failures.to_string()));
        fields.push(("chkdown", server.downs.to_string()));
        if server.admin.mode != Mode::Maint {
            let outcome = Described::from(&health.outcome);
            // a star while the next check is under way
            let star = if health.in_progress { "* " } else { "" };
            fields.push(("check_status", format!("{star}{}", outcome.code)));
            if let Some(status) = outcome.status {
                fields.push(("check_code", if health.in_progress { 0 } else { status }.to_string()));
            }
            if health.outcome != Outcome::Initializing {
                fields.push(("check_duration", health.duration_ms.to_string()));
            }
            fields.push(("check_desc", outcome.text.to_owned()));
            fields.push(("last_chk", outcome.detail.to_owned()));
            fields.push(("check_rise", check.rise.to_string()));
            fields.push(("check_fall", check.fall.to_string()));
            fields.push(("check_health", health.level.to_string()));
        }
    }
    row(columns::SERVER, &fields)
}

fn traffic(counters: &Counters) -> Fields {
    let mut fields = vec![
        ("scur", counters.sessions_current.to_string()),
        ("stot", counters.sessions.to_string()),
        ("econ", counters.connection_errors.to_string()),
        ("eresp", counters.response_errors.to_string()),
        ("wretr", counters.retries.to_string()),
        ("wredis", counters.redispatches.to_string()),
        ("lbtot", counters.balanced.to_string()),
        ("connect", counters.connects.to_string()),
        ("req_tot", counters.requests.to_string()),
        ("rtime", format!("{:.0}", counters.response_ms.value())),
        ("ttime", format!("{:.0}", counters.total_ms.value())),
        ("lastsess", counters.last_session.map_or("-1".to_owned(), seconds_since)),
    ];
    fields.extend(responses(counters));
    fields
}

fn responses(counters: &Counters) -> impl Iterator<Item = (&'static str, String)> {
    ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"]
        .into_iter()
        .zip(counters.responses.map(|count| count.to_string()))
}

/// `UP`, `UP 1/3` (a failure or two from down), `DOWN`, `DOWN 1/2` (a pass or two from up), `DRAIN`, `MAINT`, `no check`.
fn status(backend: &Backend, server: &Server) -> String {
    let up = match server.admin.mode {
        Mode::Maint => return "MAINT".to_owned(),
        Mode::Drain => "DRAIN",
        Mode::Ready if backend.check.is_none() => "no check",
        Mode::Ready => "UP",
    };
    let Some(check) = &backend.check else {
        return up.to_owned();
    };
    let level = server.health.level;
    match (server.up, level) {
        (true, level) if level < check.rise + check.fall - 1 => {
            format!("{up} {}/{}", (level + 1).saturating_sub(check.rise), check.fall)
        }
        (true, _) => up.to_owned(),
        (false, 0) => "DOWN".to_owned(),
        (false, level) => format!("DOWN {level}/{}", check.rise),
    }
}

/// An outcome in HAProxy's words.
struct Described<'a> {
    number: u8,
    result: u8,
    code: &'static str,
    text: &'static str,
    status: Option<u16>,
    detail: &'a str,
}

impl<'a> From<&'a Outcome> for Described<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        const FAILED: u8 = 2;
        const PASSED: u8 = 3;
        let (number, result, code, text) = match outcome {
            Outcome::Initializing => (1, 0, "INI", "Initializing"),
            Outcome::ConnectTimeout => (7, FAILED, "L4TOUT", "Layer4 timeout"),
            Outcome::Refused(_) => (8, FAILED, "L4CON", "Layer4 connection problem"),
            Outcome::ResponseTimeout => (12, FAILED, "L7TOUT", "Layer7 timeout"),
            Outcome::InvalidResponse => (13, FAILED, "L7RSP", "Layer7 invalid response"),
            Outcome::Passed(_) => (15, PASSED, "L7OK", "Layer7 check passed"),
            Outcome::WrongStatus(..) => (17, FAILED, "L7STS", "Layer7 wrong status"),
        };
        let (status, detail) = match outcome {
            Outcome::Passed(status) => (Some(*status), ""),
            Outcome::WrongStatus(status, reason) => (Some(*status), reason.as_str()),
            Outcome::Refused(why) => (None, why.as_str()),
            _ => (None, ""),
        };
        Self { number, result, code, text, status, detail }
    }
}

/// `show servers state`, of one backend or of all; format version 1.
pub(super) fn servers_state(state: &State, only: Option<usize>) -> String {
    let mut table = String::from(
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
         srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
         bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
         srv_agent_addr srv_agent_port\n",
    );
    for (index, backend) in state.backends.iter().enumerate() {
        if only.is_some_and(|only| only != index) {
            continue;
        }
        for (sid, server) in backend.servers.iter().enumerate() {
            let health = &server.health;
            let outcome = Described::from(&health.outcome);
            let _ = writeln!(
                table,
                "{be_id} {be_name} {srv_id} {srv_name} {addr} {op} {admin} {weight} {initial} {since} {check_status} \
                 {check_result} {level} {check_state} 0 0 0 - {port} - 0 0 - - 0",
                be_id = state.backend_id(index),
                be_name = backend.name,
                srv_id = sid + 1,
                srv_name = server.name,
                addr = server.address.ip(),
                op = if server.up { 2 } else { 0 },
                admin = admin_flags(server),
                weight = server.weight,
                initial = server.weight_initial,
                since = seconds_since(server.changed),
                check_status = outcome.number,
                check_result = if health.in_progress { 0 } else { outcome.result },
                level = health.level,
                check_state = check_flags(backend, server),
                port = server.address.port(),
            );
        }
    }
    table
}

/// 1 maintenance, 4 the configuration says `disabled`, 8 draining.
fn admin_flags(server: &Server) -> u8 {
    let mode = match server.admin.mode {
        Mode::Ready => 0,
        Mode::Maint => 1,
        Mode::Drain => 8,
    };
    mode | if server.admin.configured_maint { 4 } else { 0 }
}

/// 1 in progress, 2 configured, 4 enabled, 8 paused.
fn check_flags(backend: &Backend, server: &Server) -> u8 {
    let on = if backend.check.is_some() { 2 | 4 } else { 0 };
    on | u8::from(server.health.in_progress) | if server.health.paused { 8 } else { 0 }
}

/// `show info`: the lines that mean something here.
pub(super) fn info(state: &State) -> String {
    let uptime = state.started.elapsed().as_secs();
    let (days, hours, minutes) = (uptime / 86_400, uptime / 3_600 % 24, uptime / 60 % 60);
    let requests: u64 = state.backends.iter().map(|backend| backend.front.requests).sum();
    let connections: u64 = state.backends.iter().map(|backend| backend.front.sessions).sum();
    format!(
        "Name: HAProxy\nVersion: {VERSION}\nNbthread: 1\nNbproc: 1\nProcess_num: 1\nPid: {pid}\n\
         Uptime: {days}d {hours}h{minutes:02}m{seconds:02}s\nUptime_sec: {uptime}\nCumConns: {connections}\n\
         CumReq: {requests}\nDescription: tidegate splitter\nStopping: 0\n",
        pid = std::process::id(),
        seconds = uptime % 60,
    )
}

pub(super) fn seconds_since(moment: Instant) -> String {
    moment.elapsed().as_secs().to_string()
}
