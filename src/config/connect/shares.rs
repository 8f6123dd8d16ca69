//! Whether the stages can be set on the targets.

use super::Work;
use crate::{
    config::{problem::refused, settings},
    document::node::{Kind as Is, Node, Position},
    domain::{share::Share, stage::Stage},
    engine::unit as connected,
    port::Target,
};

impl Work<'_> {
    /// Every stage must be a share that every target can really set.
    pub(super) fn check_shares(&mut self, services: &[connected::Service]) {
        for service in services {
            for stage in service.stages.iter().flat_map(|own| own.as_slice()) {
                let path = format!("services.{}.stages", service.name);
                self.check_own_share(service, stage, self.config.tree.position, &path);
            }
        }
        let Some(section) = self.config.tree.get("stages") else {
            return self.check_standard_shares(services);
        };
        let nodes: &[Node] = match &section.kind {
            Is::List(items) => items,
            _ => std::slice::from_ref(section),
        };
        for (index, (node, stage)) in nodes.iter().zip(self.config.sections.stages.as_slice()).enumerate() {
            let path = settings::stage_path(section, index);
            self.check_share(services, stage, node.position, &path);
        }
    }

    fn check_standard_shares(&mut self, services: &[connected::Service]) {
        for stage in self.config.sections.stages.as_slice() {
            self.check_share(services, stage, self.config.tree.position, "stages");
        }
    }

    /// Whether the services that share the file's stages can take this one.
    fn check_share(
        &mut self,
        services: &[connected::Service],
        stage: &Stage,
        position: Position,
        path: &str,
    ) {
        for service in services.iter().filter(|s| s.stages.is_none()) {
            self.check_own_share(service, stage, position, path);
        }
    }

    fn check_own_share(
        &mut self,
        service: &connected::Service,
        stage: &Stage,
        position: Position,
        path: &str,
    ) {
        if !service.target.caps().splits {
            return;
        }
        if let Err(message) = reachable(service.target.as_ref(), stage.to) {
            let message = format!("`{stage}` cannot be set on service `{}`: {message}", service.name);
            self.problems.add(refused(position, path, message));
        }
    }
}

/// Refuses a share that would be none, all, or more than a tenth of itself away.
fn reachable(target: &dyn Target, share: Share) -> Result<(), String> {
    let near = target.nearest(share);
    let off = near.basis_points().abs_diff(share.basis_points());
    let edge = near != share && (near == Share::NONE || near == Share::ALL);
    if !edge && u32::from(off) * 10 <= u32::from(share.basis_points()) {
        return Ok(());
    }
    let smallest = (1..=10_000)
        .filter_map(|points| Share::from_basis_points(points).ok())
        .map(|share| target.nearest(share))
        .find(|near| *near > Share::NONE)
        .unwrap_or(Share::ALL);
    Err(format!("the nearest it can is {}%, and its smallest step is {}%", near.typed(), smallest.typed()))
}
