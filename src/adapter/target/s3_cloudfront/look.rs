//! One look at a site.

use aws_sdk_cloudfront::types::Distribution;
use futures_util::{FutureExt, future::try_join};
use std::collections::BTreeMap;

use super::{
    Site,
    state::{Page, Standing, State, standing},
    store::Head,
};
use crate::{
    domain::{
        names::SideName,
        observed::{Health, Instance},
    },
    port::{Context, Fault},
};

/// What three calls tell.
pub struct Look {
    pub state: State,
    /// Of what is recorded; `None` before the first deploy.
    pub etag: Option<String>,
    pub page: Page,
    pub head: Option<Head>,
    pub standing: Standing,
    /// All is switched, and CloudFront is not done with it.
    pub invalidating: bool,
}

impl Look {
    /// What a side holds, where it is known.
    pub fn version(&self, side: &SideName) -> Option<String> {
        let foreign = self.standing.foreign && *side == self.standing.live;
        self.state.sides.get(side)?.release.clone().filter(|_| !foreign)
    }
}

impl Site {
    /// Looks at what is recorded, at the live page, and at an invalidation that may be under way.
    pub(super) async fn look(&self, cx: &Context) -> Result<Look, Fault> {
        let (state_key, page_key) = (self.state_key(), self.key(self.entry.as_str()));
        let (found, head) =
            try_join(self.store.text(cx, &state_key).boxed(), self.store.head(cx, &page_key).boxed()).await?;
        let (state, etag) = match found {
            None => (State::default(), None),
            Some((text, etag)) => {
                let state = State::parse(&text).map_err(|why| {
                    self.refusal("read what is recorded", format!("{state_key}: {why}")).hint(
                        "delete it only if nothing is to be rolled back: what is live is then taken as it is",
                    )
                })?;
                (state, Some(etag))
            }
        };
        let made = state.switch.as_ref().filter(|switch| switch.done).and_then(|s| s.invalidation.as_ref());
        let invalidating = match (&self.cdn, made) {
            (Some(cdn), Some(made)) if made.distribution == cdn.distribution => {
                cdn.invalidating(cx, &made.id).await?
            }
            _ => false,
        };
        let page = Page::of(head.as_ref());
        let standing = standing(&state, &self.sides[0], &page, invalidating);
        let misplaced = standing.unfinished.is_some() && !made_whole(&state, &page);
        Ok(Look { invalidating: invalidating && !misplaced, state, etag, page, head, standing })
    }

    /// A side as one instance: whether all of it is there. `kept` has the keys below `.tidegate/`.
    pub(super) fn instance(
        &self,
        look: &Look,
        kept: &BTreeMap<String, u64>,
        side: &SideName,
    ) -> Option<Instance> {
        let live = *side == look.standing.live;
        let why = match look.state.sides.get(side) {
            _ if live && look.page == Page::Missing => Some(format!(
                "s3://{}/{} is not there: put a first version there (`aws s3 sync`)",
                self.store.bucket,
                self.key(self.entry.as_str())
            )),
            None if live => None,
            None => return None,
            Some(place) if !place.complete => Some("its files were not sent to the end".to_string()),
            Some(place) => place.files.iter().find_map(|(name, size)| {
                let key = self.place_key(side, name);
                match kept.get(&key) {
                    None => Some(format!("{key} is not there any more")),
                    Some(found) if found != size => Some(format!("{key} has {found} bytes and not {size}")),
                    Some(_) => None,
                }
            }),
        };
        let health = why.map_or(Health::Up, |why| Health::Down { why });
        Some(Instance { name: self.place_key(side, ""), address: None, health })
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([("bucket".to_string(), self.store.bucket.clone())]);
        labels.extend(self.cdn.iter().map(|cdn| ("distribution".to_string(), cdn.distribution.clone())));
        labels
    }

    /// Facts of the moment.
    pub(super) fn notes(&self, look: &Look) -> Vec<String> {
        let mut notes = Vec::from_iter(look.standing.unfinished.clone());
        if look.standing.foreign {
            notes.push(format!(
                "{} was put there by something else than tidegate after the switch to {}: the next deploy \
                 keeps it as the way back",
                self.key(self.entry.as_str()),
                look.standing.live
            ));
        }
        notes
    }

    /// What comes before a file's name for a viewer. Faults: the origin is elsewhere in the bucket.
    pub(super) fn viewer_root(&self, distribution: &Distribution) -> Result<String, Fault> {
        let whole = format!("/{}", self.prefix.as_str());
        let path =
            origins(distribution).into_iter().find(|(domain, _)| is_bucket(domain, &self.store.bucket));
        let Some((_, path)) = path else { return Ok(whole) };
        match whole.strip_prefix(path.as_str()).filter(|root| root.starts_with('/')) {
            Some(root) => Ok(root.to_string()),
            None => Err(self.refusal(
                "invalidate",
                format!(
                    "distribution {} serves {path} of the bucket, where `prefix` is not",
                    distribution.id
                ),
            )),
        }
    }
}

fn made_whole(state: &State, page: &Page) -> bool {
    let Some(switch) = &state.switch else { return true };
    !matches!(page, Page::Marked { side, .. } if *side != switch.to.as_str())
}

/// Domain and path of every origin.
pub fn origins(distribution: &Distribution) -> Vec<(String, String)> {
    let origins = distribution.distribution_config.as_ref().and_then(|config| config.origins.as_ref());
    let items = origins.map(|origins| origins.items.as_slice()).unwrap_or_default();
    let path = |path: &Option<String>| path.clone().unwrap_or_default().trim_end_matches('/').to_string();
    items.iter().map(|origin| (origin.domain_name.clone(), path(&origin.origin_path))).collect()
}

/// `shop-web.s3.eu-west-1.amazonaws.com`, and its older forms.
pub fn is_bucket(domain: &str, bucket: &str) -> bool {
    let rest = domain.strip_prefix(bucket).unwrap_or_default();
    rest.starts_with(".s3.") || rest.starts_with(".s3-")
}
