//! One look at a backend: its servers as the runtime API shows them.

use super::config::Sides;
use crate::{
    adapter::haproxy_api::{
        PROVIDER, Socket,
        tables::{Row, Table, Unreadable},
    },
    domain::{
        observed::Health,
        share::{Share, of_weights},
    },
    port::{Context, Fault},
};

/// Bits of `srv_admin_state` (`enum srv_admin` in HAProxy's `server-t.h`): forced, inherited, resolution
/// and hostname maintenance; forced and inherited drain.
const MAINTENANCE: u64 = 0x01 | 0x02 | 0x20 | 0x40;
const DRAIN: u64 = 0x08 | 0x10;

/// A server that belongs to a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// 0 or 1.
    pub side: usize,
    pub name: String,
    pub address: Option<String>,
    pub health: Health,
    /// As it is set now, before any slow start.
    pub weight: u64,
    /// As `haproxy.cfg` has it: where a reload goes back to.
    pub weight_configured: u64,
    pub admin: Admin,
    /// It serves only where all others are down.
    pub backup: bool,
    /// Percent of its weight, in a slow start.
    pub throttle: Option<u64>,
}

/// What a person made of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    Ready,
    Drain,
    Maintenance,
}

impl Member {
    /// Whether its weight has any effect.
    pub fn counts(&self) -> bool {
        self.admin == Admin::Ready && !self.backup
    }
}

#[derive(Clone, Debug)]
pub struct Look {
    /// In the order of the file.
    pub members: Vec<Member>,
    /// Servers of no side that take traffic, with their weights.
    pub strangers: Vec<(String, u64)>,
    /// Told to sockets of level operator and admin only.
    pub algorithm: Option<String>,
    /// The cookie that sticks clients to servers.
    pub cookie: Option<String>,
}

/// How a balancing algorithm takes weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weighing {
    /// Any weight, at once.
    Dynamic,
    /// A hash: any weight with `hash-type consistent`, else 0 and the configured one.
    Hashed,
    /// 0 and the configured weight.
    Static,
    Unknown,
}

impl Look {
    pub fn weighing(&self) -> Weighing {
        match self.algorithm.as_deref() {
            None => Weighing::Unknown,
            Some("roundrobin" | "leastconn" | "random") => Weighing::Dynamic,
            Some("static-rr" | "first") => Weighing::Static,
            Some(_) => Weighing::Hashed,
        }
    }

    /// The shares of both sides if `weight` were each server's.
    pub fn shares(&self, weight: impl Fn(&Member) -> u64) -> [Share; 2] {
        of_weights(self.sums(weight))
    }

    pub fn sums(&self, weight: impl Fn(&Member) -> u64) -> [u64; 2] {
        let mut sums = [0, 0];
        for member in self.members.iter().filter(|m| m.counts()) {
            sums[member.side] += weight(member);
        }
        sums
    }

    /// The servers and their weights: `blue 90, green 10`.
    pub fn listed(&self, weight: impl Fn(&Member) -> u64) -> String {
        let each: Vec<_> = self.members.iter().map(|m| format!("{} {}", m.name, weight(m))).collect();
        each.join(", ")
    }
}

/// Looks at a backend in one connection.
pub async fn look(cx: &Context, socket: &Socket, backend: &str, sides: &Sides) -> Result<Look, Fault> {
    const OPERATION: &str = "read the servers";
    let object = format!("backend {backend} at {socket}");
    let line = format!("show servers state {backend};show stat -1 6 -1");
    let answer = socket.call(cx, &line).await.map_err(|f| f.reading(OPERATION, &object))?;
    let unreadable = |why: Unreadable| Fault::new(why.treat, PROVIDER, OPERATION, &object, why.detail);
    let stat = Table::stat(&answer).map_err(unreadable)?;
    let backends: Vec<_> =
        stat.rows().filter(|r| r.text("svname") == "BACKEND").map(|r| r.text("pxname")).collect();
    if !backends.contains(&backend) {
        let detail = format!("backend `{backend}` does not exist; known: {}", backends.join(", "));
        return Err(Fault::permanent(PROVIDER, OPERATION, &object, detail));
    }
    let state = Table::servers_state(&answer).map_err(unreadable)?;
    assemble(&stat, &state, backend, sides)
        .map_err(|detail| Fault::permanent(PROVIDER, OPERATION, &object, detail))
}

fn assemble(stat: &Table, state: &Table, backend: &str, sides: &Sides) -> Result<Look, String> {
    let states: Vec<_> = state.rows().filter(|r| r.text("be_name") == backend).collect();
    let mut look = Look { members: Vec::new(), strangers: Vec::new(), algorithm: None, cookie: None };
    let given = |text: &str| (!text.is_empty()).then(|| text.to_string());
    let mut rows = Vec::new();
    for row in stat.rows().filter(|r| r.text("pxname") == backend) {
        match row.text("svname") {
            "BACKEND" => {
                look.algorithm = given(row.text("algo"));
                look.cookie = given(row.text("cookie"));
            }
            name => rows.push((name, row)),
        }
    }
    for (side, servers) in sides.0.iter().enumerate() {
        for server in &servers.servers {
            let name = server.as_str();
            let row = rows.iter().find(|(known, _)| *known == name);
            let state = states.iter().find(|r| r.text("srv_name") == name);
            let (Some((_, row)), Some(state)) = (row, state) else {
                let known: Vec<_> = rows.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "backend `{backend}` has no server `{name}`; known: {}",
                    known.join(", ")
                ));
            };
            look.members.push(member(side, name, *row, *state)?);
        }
    }
    for (name, row) in rows {
        if look.members.iter().any(|m| m.name == name) {
            continue;
        }
        let Some(state) = states.iter().find(|r| r.text("srv_name") == name) else { continue };
        let stranger = member(0, name, row, *state)?;
        if stranger.counts() && stranger.weight > 0 {
            look.strangers.push((stranger.name, stranger.weight));
        }
    }
    Ok(look)
}

fn member(side: usize, name: &str, row: Row<'_>, state: Row<'_>) -> Result<Member, String> {
    let number = |column| {
        state.number(column).ok_or_else(|| format!("server {name} has no `{column}` in `show servers state`"))
    };
    let admin = match number("srv_admin_state")? {
        bits if bits & MAINTENANCE != 0 => Admin::Maintenance,
        bits if bits & DRAIN != 0 => Admin::Drain,
        _ => Admin::Ready,
    };
    Ok(Member {
        side,
        name: name.to_string(),
        address: address(row, state),
        health: health(admin, row),
        weight: number("srv_uweight")?,
        weight_configured: number("srv_iweight")?,
        admin,
        backup: row.number("bck") == Some(1),
        throttle: row.number("throttle").filter(|percent| *percent < 100),
    })
}

/// `show stat` knows how to write an IPv6 address, but tells it only to sockets of level operator and admin.
fn address(row: Row<'_>, state: Row<'_>) -> Option<String> {
    let (ip, port) = (state.text("srv_addr"), state.text("srv_port"));
    match row.text("addr") {
        "" if ip.parse::<std::net::Ipv6Addr>().is_ok() => Some(format!("[{ip}]:{port}")),
        "" if ip.parse::<std::net::Ipv4Addr>().is_ok() => Some(format!("{ip}:{port}")),
        "" => None,
        address => Some(address.to_string()),
    }
}

/// From the words of `show stat`: `UP`, `UP 1/3` (failing, not down yet), `DOWN`, `DOWN 1/2`, `NOLB` (its
/// health check answers 404 to be left alone), `no check`.
fn health(admin: Admin, row: Row<'_>) -> Health {
    // a star says that the next check is under way
    let check = row.text("check_status").trim_start_matches("* ");
    match row.text("status") {
        _ if admin != Admin::Ready => Health::Disabled,
        // HAProxy calls a server up until its first check has ended
        status if status.starts_with("UP") && check == "INI" => Health::Unknown,
        status if status.starts_with("UP") => Health::Up,
        "no check" => Health::Unknown,
        status => {
            let told = [check, row.text("check_code"), row.text("check_desc"), row.text("last_chk")];
            let told: Vec<_> = told.into_iter().filter(|t| !t.is_empty() && *t != "0").collect();
            let why = match told.as_slice() {
                [] => status.to_string(),
                told => format!("{status}: {}", told.join(", ")),
            };
            Health::Down { why }
        }
    }
}
