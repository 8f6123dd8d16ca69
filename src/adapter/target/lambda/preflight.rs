//! What a person should know of the aliases before a release.

use aws_config::SdkConfig;
use aws_sdk_lambda::{
    Client, operation::get_provisioned_concurrency_config::GetProvisionedConcurrencyConfigInput,
};
use futures_util::{FutureExt, StreamExt, stream};

use super::{
    CALLS_MAX, Lambda, SERVICE,
    alias::{Routing, Version},
    config::Source,
    deploy::check_package,
    look::{Facts, LATEST, code, listed},
};
use crate::{
    adapter::aws::{Intent, call},
    domain::{observed::Health, share::Share},
    port::{Context, Fault, Finding, Findings, Grade},
};

/// More than this of the same kind is summed up.
const SHOWN_MAX: usize = 10;

/// What was found of one function.
struct Found {
    routing: Routing,
    /// Of the alias' own version.
    serving: Facts,
    latest: Facts,
    provisioned: Result<bool, Fault>,
}

pub async fn preflight(target: &Lambda, cx: &Context) -> Vec<Finding> {
    let mut findings = Findings::new(format!("lambda {}", target.whole()));
    let mut reads = Vec::with_capacity(target.functions.len());
    for function in 0..target.functions.len() {
        reads.push(target.found(cx, function).boxed());
    }
    let read: Vec<_> = stream::iter(reads).buffered(CALLS_MAX).collect().await;
    let mut well = Vec::new();
    for (name, found) in target.functions.iter().zip(read) {
        match found {
            Ok(found) => {
                let refusals = refusals(target, name, &found);
                match &found.provisioned {
                    Err(fault) => findings.fault(fault),
                    Ok(_) if refusals.is_empty() => well.push(format!("{name}: {}", found.routing)),
                    Ok(_) => {}
                }
                refusals.into_iter().for_each(|why| findings.add(Grade::Refuse, why));
            }
            Err(fault) => findings.fault(&fault),
        }
    }
    if !well.is_empty() {
        findings.add(Grade::Ok, listed(&well));
    }
    sum_up(&mut findings);
    code_of(target, &mut findings).await;
    let publishes = match &target.source {
        Source::Elsewhere => "with an `image:` also UpdateFunctionCode and PublishVersion",
        Source::Zip(_) => "UpdateFunctionCode, PublishVersion",
        Source::S3(_) => "UpdateFunctionCode, PublishVersion, and s3:GetObject of the package",
    };
    findings.add(
        Grade::Unknown,
        format!("whether the identity may change anything: lambda:UpdateAlias, {publishes}"),
    );
    findings.list
}

/// A thousand functions with the same trouble are one thing to read.
fn sum_up(findings: &mut Findings) {
    if findings.list.len() > SHOWN_MAX + 1 {
        findings.list.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
        let more = findings.list.split_off(SHOWN_MAX);
        let grade = more.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Refuse);
        findings.add(grade, format!("and {} more findings like these", more.len()));
    }
}

impl Lambda {
    async fn found(&self, cx: &Context, function: usize) -> Result<Found, Fault> {
        let alias = self.alias(cx, function).await?;
        let latest = self.latest(cx, function).await?;
        let serving = self.facts_of(cx, function, &alias.routing.primary, &latest).await?;
        let provisioned = self.provisioned(cx, function).await;
        Ok(Found { routing: alias.routing, serving, latest, provisioned })
    }

    async fn facts_of(
        &self,
        cx: &Context,
        function: usize,
        version: &Version,
        latest: &Facts,
    ) -> Result<Facts, Fault> {
        match version.0.as_str() {
            LATEST => Ok(latest.clone()),
            _ => self.version(cx, function, version, true).await,
        }
    }

    /// Whether the alias has provisioned concurrency.
    async fn provisioned(&self, cx: &Context, function: usize) -> Result<bool, Fault> {
        let intent = Intent::read(SERVICE, "GetProvisionedConcurrencyConfig", self.object(function));
        let asked = GetProvisionedConcurrencyConfigInput::builder()
            .function_name(&self.functions[function])
            .qualifier(&self.alias);
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = asked.clone();
            async move { asked.send_with(&Client::new(&config)).await }
        });
        match answer.await {
            Ok(_) => Ok(true),
            Err(fault) if code(&fault) == "ProvisionedConcurrencyConfigNotFoundException" => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// Why this function cannot be released now.
fn refusals(target: &Lambda, name: &str, found: &Found) -> Vec<String> {
    let alias = &target.alias;
    let mut refusals = Vec::new();
    let primary = &found.routing.primary;
    if primary.0 == LATEST {
        refusals.push(format!(
            "{name}: alias {alias} points to $LATEST, which cannot be split: publish it and point the alias to the \
             version: `aws lambda publish-version --function-name {name}`, then `aws lambda update-alias \
             --function-name {name} --name {alias} --function-version NUMBER`"
        ));
    }
    if let Some((version, share)) = &found.routing.additional
        && ![Share::NONE, Share::ALL].contains(share)
    {
        refusals.push(format!(
            "{name}: alias {alias} is split already (version {version} has {share}): another release may be open; \
             send all its traffic to one version first"
        ));
    }
    if let Health::Down { why } = &found.serving.health {
        refusals.push(format!("{name}: version {primary}, which serves, is not well: {why}"));
    }
    let unlike = |what: &str, serving: &str, latest: &str| {
        format!(
            "{name}: version {primary} has {what} {serving} and $LATEST, which is to be published, has {latest}: AWS \
             does not split between them; make them equal, or move the alias over in one step by hand"
        )
    };
    if found.serving.role != found.latest.role {
        refusals.push(unlike("the execution role", &found.serving.role, &found.latest.role));
    }
    if found.serving.dead_letters != found.latest.dead_letters {
        let text = |letters: &Option<String>| letters.clone().unwrap_or_else(|| "none".into());
        let (serving, latest) = (text(&found.serving.dead_letters), text(&found.latest.dead_letters));
        refusals.push(unlike("the dead-letter target", &serving, &latest));
    }
    if let Ok(true) = found.provisioned {
        refusals.push(format!(
            "{name}: alias {alias} has provisioned concurrency, which excludes weights: give it to the versions, or \
             remove it: `aws lambda delete-provisioned-concurrency-config --function-name {name} --qualifier {alias}`"
        ));
    }
    if found.latest.image && !matches!(target.source, Source::Elsewhere) {
        refusals
            .push(format!("{name} runs from an image and cannot take a package: give the service `image:`"));
    }
    refusals
}

/// The packages, as far as they can be looked at before the release has a name.
async fn code_of(target: &Lambda, findings: &mut Findings) {
    let Source::Zip(paths) = &target.source else { return };
    let mut checked: Vec<String> = Vec::new();
    for name in &target.functions {
        let Some(path) = paths.fixed(name) else {
            let unknown = "whether the packages are there: their names have the release in them";
            return findings.add(Grade::Unknown, unknown);
        };
        if checked.contains(&path) {
            continue;
        }
        match check_package(&target.base.join(&path)).await {
            Ok(bytes) => findings.add(Grade::Ok, format!("zip: {path} has {bytes} bytes")),
            Err(why) => findings.add(Grade::Refuse, format!("zip: {path}: {why}")),
        }
        checked.push(path);
    }
}
