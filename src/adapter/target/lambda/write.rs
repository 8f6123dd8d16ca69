//! Changing aliases: weights, and taking the old version out.

use aws_config::SdkConfig;
use aws_sdk_lambda::{Client, operation::update_alias::UpdateAliasInput, types::AliasRoutingConfiguration};
use futures_util::{FutureExt, StreamExt, stream};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    CALLS_MAX, Lambda, SERVICE, WRITE_LIMIT,
    alias::{Placed, Routing},
    look::{Alias, code, listed},
};
use crate::{
    adapter::aws::{Intent, PROVIDER, call},
    domain::share::Share,
    port::{Context, Fault, Treat},
};

impl Lambda {
    /// Gives the first side this share in every alias.
    pub(super) async fn share(&self, cx: &Context, first: Share) -> Result<(), Fault> {
        let look = self.seen(cx).await?;
        let shares = [first, first.rest()];
        let lacking: Vec<String> = (0..self.functions.len())
            .filter_map(|function| {
                let placed = &look.placed[function];
                let lacks =
                    (0..2).find(|side| placed.versions[*side].is_none() && shares[*side] != Share::NONE);
                lacks.filter(|_| placed.counts).map(|side| {
                    format!("{} has no version on {}", self.functions[function], self.sides[side])
                })
            })
            .collect();
        if !lacking.is_empty() {
            return Err(self
                .refusal("set the weights", listed(&lacking))
                .hint("`tidegate deploy` publishes it and puts it into the alias at weight 0"));
        }
        let wanted = look.placed.iter().zip(look.aliases).map(|(placed, alias)| {
            let wanted = with_share(&alias.routing, placed, shares);
            (alias, wanted)
        });
        self.write_all(cx, "set the weights", wanted.collect()).await
    }

    /// Leaves the version of the other side alone in every alias.
    pub(super) async fn retire(&self, cx: &Context, side: usize) -> Result<(), Fault> {
        let operation = format!("retire {}", self.sides[side]);
        let look = self.seen(cx).await?;
        let busy: Vec<String> = (0..self.functions.len())
            .filter(|function| {
                let placed = &look.placed[*function];
                placed.counts && placed.shares[side] != Share::NONE
            })
            .map(|function| {
                format!("{} has {}", self.functions[function], look.placed[function].shares[side])
            })
            .collect();
        if !busy.is_empty() {
            return Err(self
                .refusal(&operation, format!("{} still has traffic: {}", self.sides[side], listed(&busy))));
        }
        let wanted = look.placed.iter().zip(look.aliases).map(|(placed, alias)| {
            let wanted = match (&placed.versions[1 - side], &placed.versions[side]) {
                (Some(serving), Some(_)) => Routing::alone(serving),
                _ => alias.routing.clone(),
            };
            (alias, wanted)
        });
        self.write_all(cx, &operation, wanted.collect()).await
    }

    /// A version needs nothing to serve again; one that the alias no longer names cannot be guessed.
    pub(super) async fn revive(&self, cx: &Context, side: usize) -> Result<(), Fault> {
        let look = self.seen(cx).await?;
        let gone: Vec<&String> = (0..self.functions.len())
            .filter(|function| {
                look.placed[*function].counts && look.placed[*function].versions[side].is_none()
            })
            .map(|function| &self.functions[function])
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let why = format!("the alias of {} names no version of {} any more", listed(&gone), self.sides[side]);
        Err(self.refusal(&format!("bring back {}", self.sides[side]), why).hint(format!(
            "the journal has the version: `aws lambda update-alias --function-name {} --name {} \
             --function-version VERSION --routing-config AdditionalVersionWeights={{}}` sends all traffic there",
            gone[0], self.alias
        )))
    }

    /// Writes every alias that is not as wanted, several at a time. After a refusal none is begun any more.
    async fn write_all(
        &self,
        cx: &Context,
        operation: &str,
        wanted: Vec<(Alias, Routing)>,
    ) -> Result<(), Fault> {
        let refused = AtomicBool::new(false);
        let missing: Vec<(usize, Alias, Routing)> = wanted
            .into_iter()
            .enumerate()
            .filter(|(_, (alias, wanted))| alias.routing != *wanted)
            .map(|(function, (alias, wanted))| (function, alias, wanted))
            .collect();
        let all = missing.len();
        let mut writes = Vec::with_capacity(all);
        for (function, alias, wanted) in &missing {
            writes.push(self.write_unless(cx, &refused, *function, alias, wanted).boxed());
        }
        let results: Vec<_> = stream::iter(writes).buffered(CALLS_MAX).collect().await;
        let done = results.iter().filter(|result| matches!(result, Some(Ok(())))).count();
        let mut faults: Vec<Fault> = results.into_iter().flatten().filter_map(Result::err).collect();
        let unknown = faults.iter().filter(|fault| fault.treat == Treat::OutcomeUnknown).count();
        // the one that tells most goes first
        faults.sort_by_key(|fault| match fault.treat {
            Treat::Permanent => 0,
            Treat::OutcomeUnknown => 1,
            Treat::Temporary => 2,
        });
        let Some(first) = faults.into_iter().next() else { return Ok(()) };
        if all == 1 || (done == 0 && unknown == 0) {
            return Err(first);
        }
        let detail = format!(
            "{done} of {all} aliases were changed, {unknown} without an answer; {} on {}: {}",
            first.operation, first.object, first.detail
        );
        Err(Fault { hint: first.hint, ..Fault::outcome_unknown(PROVIDER, operation, self.whole(), detail) })
    }

    /// One write of several, which is not begun once another was refused.
    async fn write_unless(
        &self,
        cx: &Context,
        refused: &AtomicBool,
        function: usize,
        base: &Alias,
        wanted: &Routing,
    ) -> Option<Result<(), Fault>> {
        if refused.load(Ordering::Relaxed) {
            return None;
        }
        let result = self.write(cx, function, base, wanted).await;
        if result.as_ref().is_err_and(|fault| fault.treat == Treat::Permanent) {
            refused.store(true, Ordering::Relaxed);
        }
        Some(result)
    }

    /// Writes one alias as it should be, if it is still as it was read.
    pub(super) async fn write(
        &self,
        cx: &Context,
        function: usize,
        base: &Alias,
        wanted: &Routing,
    ) -> Result<(), Fault> {
        let intent = Intent::write(SERVICE, "UpdateAlias", self.object(function));
        let weights: HashMap<String, f64> = wanted
            .additional
            .iter()
            .map(|(version, share)| (version.0.clone(), Routing::weight(*share)))
            .collect();
        let routing = AliasRoutingConfiguration::builder()
            // said even where it is empty: what is not said stays
            .set_additional_version_weights(Some(weights))
            .build();
        let asked = UpdateAliasInput::builder()
            .function_name(&self.functions[function])
            .name(&self.alias)
            .function_version(&wanted.primary.0)
            .routing_config(routing)
            .set_revision_id(base.revision.clone());
        let answer = call(&self.aws, &cx.within(WRITE_LIMIT), &intent, move |config: SdkConfig| {
            let asked = asked.clone();
            async move { asked.send_with(&Client::new(&config)).await }
        })
        .await;
        let fault = match answer {
            Ok(_) => return Ok(()),
            Err(fault) => fault,
        };
        match code(&fault) {
            "PreconditionFailedException" => self.meanwhile(cx, function, base, wanted, fault).await,
            // an operation on the function is under way
            "ResourceConflictException" => Err(Fault { treat: Treat::Temporary, ..fault }),
            _ => Err(fault),
        }
    }

    /// What it means that an alias is not the one that was read.
    async fn meanwhile(
        &self,
        cx: &Context,
        function: usize,
        base: &Alias,
        wanted: &Routing,
        fault: Fault,
    ) -> Result<(), Fault> {
        let Ok(now) = self.alias(cx, function).await else {
            return Err(Fault { treat: Treat::OutcomeUnknown, ..fault });
        };
        if now.routing == *wanted {
            // the write had arrived before, or somebody wants the same
            return Ok(());
        }
        let found = format!("the alias was changed meanwhile: {}; nothing was done", now.routing);
        if now.routing == base.routing {
            return Err(Fault { treat: Treat::Temporary, detail: found, ..fault });
        }
        let hint = "find out who changes the alias, then run the same command again";
        Err(Fault { treat: Treat::Permanent, detail: found, ..fault }.hint(hint))
    }
}

/// The same two versions with these shares of the sides.
fn with_share(routing: &Routing, placed: &Placed, shares: [Share; 2]) -> Routing {
    let additional =
        routing.additional.as_ref().map(|(version, _)| (version.clone(), shares[1 - placed.primary]));
    Routing { primary: routing.primary.clone(), additional }
}
