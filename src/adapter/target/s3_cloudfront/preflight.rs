//! What a person should know of a site before a release.

use aws_sdk_cloudfront::types::{Distribution, DistributionConfig};

use super::{
    Site,
    folder::Local,
    look::{Look, is_bucket, origins},
    state::OWN,
};
use crate::port::{Context, Finding, Findings, Grade};

/// Seconds.
const ERROR_CACHED_MAX: i64 = 60;

pub async fn preflight(site: &Site, cx: &Context) -> Vec<Finding> {
    let mut findings = Findings::new(site.object());
    match site.files().await {
        Ok(files) => folder(site, &files, &mut findings),
        Err(fault) => findings.fault(&fault),
    }
    // listing first: without that permission S3 says of what is not there that it is forbidden
    let own = format!("{}{OWN}", site.prefix.as_str());
    let looked = match site.store.list(cx, &own).await {
        Ok(_) => site.look(cx).await,
        Err(fault) => Err(fault),
    };
    match looked {
        Ok(look) => {
            bucket(site, &look, &mut findings);
            if look.head.is_some() && site.store.acl.is_none() {
                public(site, cx, &mut findings).await;
            }
        }
        Err(fault) => findings.fault(&fault),
    }
    match site.store.versioned(cx).await {
        Ok(true) => findings.add(Grade::Ok, "the bucket keeps old versions of objects"),
        Ok(false) => findings.add(
            Grade::Ok,
            "the bucket keeps no old versions of objects: the way back is in `.tidegate/` alone",
        ),
        Err(fault) => findings.unknown(&fault),
    }
    if let Some(cdn) = &site.cdn {
        match cdn.look(cx).await {
            Ok(found) => distribution(site, &found, &mut findings),
            Err(fault) => findings.fault(&fault),
        }
    }
    let acl = if site.store.acl.is_some() { "s3:PutObjectAcl, " } else { "" };
    let writes = match site.cdn {
        Some(_) => {
            "s3:PutObject, s3:DeleteObject, cloudfront:CreateInvalidation and cloudfront:GetInvalidation"
        }
        None => "s3:PutObject and s3:DeleteObject",
    };
    findings.add(Grade::Unknown, format!("whether the identity has {acl}{writes}: only a write can tell"));
    findings.list
}

fn folder(site: &Site, files: &[Local], findings: &mut Findings) {
    let upload = site.upload.display();
    let assets = files.iter().filter(|file| file.asset).count();
    if !files.iter().any(|file| file.name == site.entry.as_str() && !file.asset) {
        findings.add(Grade::Refuse, format!("{upload} has no {} that could go over", site.entry));
    }
    findings.add(
        Grade::Ok,
        format!(
            "{upload}: {assets} files go up first and stay, {} go over at the switch",
            files.len() - assets
        ),
    );
}

fn bucket(site: &Site, look: &Look, findings: &mut Findings) {
    let page = site.key(site.entry.as_str());
    match &look.head {
        // the engine says it of the side that serves
        None => {}
        Some(_) if look.state.switch.is_none() => {
            findings.add(Grade::Ok, format!("{page} is live as it is, and becomes the way back"));
        }
        Some(_) => {
            let version = look.version(&look.standing.live);
            let named = version.map(|version| format!(" ({version})")).unwrap_or_default();
            findings.add(Grade::Ok, format!("{page} is {}'s{named}", look.standing.live));
        }
    }
    for note in site.notes(look) {
        findings.add(Grade::Warn, note);
    }
}

/// A page that everybody may read by its own ACL would not be readable after the switch.
async fn public(site: &Site, cx: &Context, findings: &mut Findings) {
    let page = site.key(site.entry.as_str());
    match site.store.is_public(cx, &page).await {
        Ok(false) => {}
        Ok(true) => {
            let grade = if site.cdn.is_some() { Grade::Warn } else { Grade::Refuse };
            let message = format!(
                "{page} is public by its ACL, and what a release puts in its place is not: say `acl: public-read`, \
                 unless the bucket's policy or CloudFront lets people in"
            );
            findings.add(grade, message);
        }
        Err(fault) => findings.unknown(&fault),
    }
}

fn distribution(site: &Site, found: &Distribution, findings: &mut Findings) {
    let name = format!("distribution {}", found.id);
    let Some(config) = &found.distribution_config else {
        return findings.add(Grade::Unknown, format!("{name}: its configuration was not told"));
    };
    if !config.enabled {
        findings.add(Grade::Refuse, format!("{name} is disabled"));
    }
    if found.status != "Deployed" {
        let message = format!("{name} is {}: a change of it is still going out", found.status);
        findings.add(Grade::Warn, message);
    }
    let bucket = &site.store.bucket;
    let domains = origins(found);
    let others = domains.iter().all(|(domain, _)| domain.contains(".s3") && domain.contains("amazonaws.com"));
    match domains.iter().any(|(domain, _)| is_bucket(domain, bucket)) {
        true => match site.viewer_root(found) {
            Ok(root) => findings.add(Grade::Ok, format!("{name} serves the site as {root}")),
            Err(fault) => findings.fault(&fault),
        },
        false => {
            let named: Vec<&str> = domains.iter().map(|(domain, _)| domain.as_str()).collect();
            let message = format!("{name} has no origin that is {bucket}: {}", named.join(", "));
            findings.add(if others { Grade::Refuse } else { Grade::Warn }, message);
        }
    }
    root_object(site, &name, config, findings);
    let pages = config.custom_error_responses.as_ref().and_then(|pages| pages.items.as_ref());
    for page in pages.into_iter().flatten() {
        let seconds = page.error_caching_min_ttl.unwrap_or(10);
        if page.response_page_path.is_some() && seconds > ERROR_CACHED_MAX {
            findings.add(
                Grade::Warn,
                format!(
                    "{name} answers {} with {} and keeps that for {seconds} s: such addresses show the old \
                     page for as long; lower it, or `invalidate: /*`",
                    page.error_code,
                    page.response_page_path.as_deref().unwrap_or_default()
                ),
            );
        }
    }
}

fn root_object(site: &Site, name: &str, config: &DistributionConfig, findings: &mut Findings) {
    let root = config.default_root_object.as_deref().unwrap_or_default();
    let entry = site.entry.as_str();
    if root.is_empty() || root.trim_start_matches('/') == entry {
        return;
    }
    findings.add(
        Grade::Warn,
        format!("{name} answers `/` with {root}, and {entry} goes over last: name it with `entry:`"),
    );
}
