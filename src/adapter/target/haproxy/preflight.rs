//! What a person should know of a backend before a release.

use super::{
    Haproxy,
    look::{Admin, Look, Weighing},
    why_not,
};
use crate::{
    adapter::haproxy_api::outcomes,
    domain::{observed::Health, share::Share},
    port::{Context, Finding, Findings, Grade},
};

/// Shares below this are out of reach only for sides of very different size.
const SMALLEST_USUAL: u16 = 100;

pub async fn preflight(target: &Haproxy, cx: &Context) -> Vec<Finding> {
    let mut findings = Findings::new(format!("haproxy {}", target.backend));
    let look = match target.look(cx).await {
        Ok(look) => look,
        Err(fault) => {
            findings.add(Grade::Refuse, fault.told());
            return findings.list;
        }
    };
    let [first, second] = look.shares(|m| m.weight);
    findings.add(
        Grade::Ok,
        format!(
            "{} has {first}, {} has {second} (weights {})",
            target.side(0),
            target.side(1),
            look.listed(|m| m.weight)
        ),
    );
    permission(target, cx, &mut findings).await;
    algorithm(&look, &mut findings);
    stickiness(target, cx, &look, &mut findings).await;
    servers(target, &look, &mut findings);
    reload(target, &look, &mut findings).await;
    findings.list
}

/// A `set weight` without a weight changes nothing, and is refused for its level before its form.
async fn permission(target: &Haproxy, cx: &Context, findings: &mut Findings) {
    let Some(server) = target.sides.0[0].servers.first() else { return };
    let line = format!("set weight {}/{server}", target.backend);
    let answer = match target.socket.call(cx, &line).await {
        Ok(answer) => answer,
        Err(failed) => {
            let fault = failed.reading("ask for permission", &target.object());
            return findings.unknown(&fault);
        }
    };
    match outcomes(&answer, 1).as_deref() {
        Some([Err(text)]) if text.contains("Permission denied") => findings.add(
            Grade::Refuse,
            format!(
                "{} may not set weights: give its `stats socket` line `level admin`, or name a socket that has it",
                target.socket
            ),
        ),
        Some([Err(text)]) if text.contains("Require <weight>") => {
            findings.add(Grade::Ok, format!("{} may set weights", target.socket));
        }
        _ => findings.add(
            Grade::Unknown,
            format!("whether {} may set weights: it answered {}", target.socket, answer.trim()),
        ),
    }
}

fn algorithm(look: &Look, findings: &mut Findings) {
    let name = look.algorithm.as_deref().unwrap_or_default();
    match look.weighing() {
        Weighing::Dynamic => findings.add(Grade::Ok, format!("`balance {name}` takes any share")),
        Weighing::Static => findings.add(
            Grade::Warn,
            format!("`balance {name}` takes 0 % and 100 % only: use `balance roundrobin`, or `stages: [100%]`"),
        ),
        Weighing::Hashed => findings.add(
            Grade::Warn,
            format!(
                "`balance {name}` takes 0 % and 100 % only, unless it has `hash-type consistent`; and a share \
                 is then one of clients or keys, not of requests"
            ),
        ),
        Weighing::Unknown => {
            findings.add(Grade::Unknown, "the balancing algorithm (told to sockets of level operator and admin)");
        }
    }
}

async fn stickiness(target: &Haproxy, cx: &Context, look: &Look, findings: &mut Findings) {
    let backend = &target.backend;
    if let Some(cookie) = &look.cookie {
        findings.add(
            Grade::Warn,
            format!(
                "backend {backend} sticks clients to servers by cookie {cookie}: a share is one of new clients, \
                 and a side at 0 % still serves those it has"
            ),
        );
    }
    let tables = target.socket.call(cx, "show table").await.unwrap_or_default();
    if tables.lines().any(|line| line.starts_with(&format!("# table: {backend},"))) {
        findings.add(
            Grade::Warn,
            format!(
                "backend {backend} has a stick table: if it sticks clients to servers, a share is one of new \
                 clients, and a side at 0 % still serves those it has"
            ),
        );
    }
}

fn servers(target: &Haproxy, look: &Look, findings: &mut Findings) {
    for (name, weight) in &look.strangers {
        findings.add(
            Grade::Refuse,
            format!(
                "server {name} belongs to no side and takes traffic (weight {weight}): add it to `sides`, or set \
                 its weight to 0"
            ),
        );
    }
    for member in look.members.iter().filter(|m| m.backup) {
        let name = &member.name;
        findings.add(Grade::Refuse, format!("{name} is a backup server: its weight has no effect"));
    }
    for member in look.members.iter().filter(|m| m.admin != Admin::Ready) {
        findings.add(
            Grade::Warn,
            format!("{}: it gets no traffic until `set server … state ready`", why_not(member)),
        );
    }
    if look.shares(|m| m.weight) == [Share::NONE; 2] {
        findings.add(Grade::Refuse, "no server takes traffic: all weights are 0, or all servers are out");
    }
    let unchecked: Vec<_> =
        look.members.iter().filter(|m| m.health == Health::Unknown).map(|m| m.name.as_str()).collect();
    if !unchecked.is_empty() {
        findings.add(
            Grade::Warn,
            format!(
                "HAProxy has no health check result for {}: add `check` to the server line, or give the service \
                 `health:`",
                unchecked.join(", ")
            ),
        );
    }
    let uneven = |side: usize| {
        let mut weights = look.members.iter().filter(|m| m.side == side).map(|m| m.weight_configured);
        let first = weights.next();
        weights.any(|w| Some(w) != first)
    };
    for side in [0, 1].into_iter().filter(|side| uneven(*side)) {
        findings.add(
            Grade::Warn,
            format!(
                "the servers of {} are configured with different weights; tidegate gives all servers of a side \
                 the same",
                target.side(side)
            ),
        );
    }
    let smallest = target.scale.smallest();
    if smallest.basis_points() > SMALLEST_USUAL {
        findings.add(
            Grade::Warn,
            format!(
                "with sides of so different size the smallest share is {smallest}, and steps are as large"
            ),
        );
    }
}

async fn reload(target: &Haproxy, look: &Look, findings: &mut Findings) {
    let Some(file) = &target.state_file else {
        return findings.add(
            Grade::Warn,
            "a reload of HAProxy in the middle of a release undoes its weights: give `state_file`, or let the \
             reload save the server state",
        );
    };
    let folder = file.parent().unwrap_or(file);
    if !tokio::fs::metadata(folder).await.is_ok_and(|m| m.is_dir()) {
        return findings.add(Grade::Warn, format!("state_file: {} is not a folder here", folder.display()));
    }
    match target.lost_by_reload(look).await {
        Some(note) => findings.add(Grade::Warn, note),
        None => findings.add(
            Grade::Ok,
            format!(
                "weights are kept in {}; whether HAProxy loads it (`load-server-state-from-file`) cannot be seen \
                 from outside",
                file.display()
            ),
        ),
    }
}
