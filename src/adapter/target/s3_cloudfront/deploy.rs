//! A release's files into the bucket, without a change to what is live.

use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    Site,
    each::each,
    folder::{self, Local, content_type},
    state::{Page, Place, RELEASE_MARK, SIDE_MARK, State, mark},
    store::{Condition, Head, Headers},
};
use crate::{
    adapter::aws::PROVIDER,
    domain::names::{ReleaseName, SideName},
    port::{Context, Fault, Treat},
};

/// A hashed name stands for one content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A file that is switched is asked for again each time.
const ASK_AGAIN: &str = "no-cache";
const TRIES_MAX: u32 = 3;

impl Site {
    pub(super) async fn deploy(
        &self,
        cx: &Context,
        side: &SideName,
        release: &ReleaseName,
    ) -> Result<(), Fault> {
        let mut files = self.files().await?;
        if !files.iter().any(|file| file.name == self.entry.as_str() && !file.asset) {
            return Err(self.refusal(
                "deploy",
                format!("{} has no {} that could go over", self.upload.display(), self.entry),
            ));
        }
        let look = self.look(cx).await?;
        let live = &look.standing.live;
        if *live == *side || look.standing.unfinished.is_some() {
            let why = look.standing.unfinished.clone().unwrap_or_else(|| format!("{side} is live"));
            return Err(self.refusal("deploy", format!("{why}; nothing was changed")));
        }
        let mut state = look.state.clone();
        if let Some(cdn) = &self.cdn {
            state.viewer_root = Some(self.viewer_root(&cdn.look(cx).await?)?);
        }
        // what goes over today goes over in this release, too
        let switched = state.sides.get(live).map(|place| place.files.clone()).unwrap_or_default();
        for file in &mut files {
            file.asset &= !switched.contains_key(&file.name);
        }
        let (assets, pages): (Vec<&Local>, Vec<&Local>) = files.iter().partition(|file| file.asset);
        each(assets, |file| self.send_asset(cx, file).boxed()).await?;

        let touched: BTreeSet<&String> = pages.iter().map(|file| &file.name).chain(switched.keys()).collect();
        let kept = self.keep_live(cx, live, state.sides.get(live), touched.into_iter().collect()).await?;
        let before = state.sides.insert(live.clone(), kept).unwrap_or_default();
        let begun = Place { release: Some(release.to_string()), complete: false, files: BTreeMap::new() };
        let old = state.sides.insert(side.clone(), begun).unwrap_or_default();
        let place = Place {
            release: Some(release.to_string()),
            complete: true,
            files: pages.iter().map(|file| (file.name.clone(), file.size)).collect(),
        };
        // recorded until they are gone, or a run that is cut off would leave them for ever
        let keys = |side: &SideName, place: &Place| -> BTreeSet<String> {
            place.files.keys().map(|name| self.place_key(side, name)).collect()
        };
        state.stale.extend(keys(side, &old).into_iter().chain(keys(live, &before)));
        let holds = state.sides.get(live).map(|kept| keys(live, kept)).unwrap_or_default();
        let holds = &holds | &keys(side, &place);
        state.stale.retain(|key| !holds.contains(key));
        let condition = look.etag.clone().map_or(Condition::Absent, Condition::Is);
        let etag = self.keep(cx, "deploy", &state, condition).await?;

        each(pages.clone(), |file| self.send_page(cx, side, release, file).boxed()).await?;
        let stale = std::mem::take(&mut state.stale);
        each(stale, |key| async move { self.store.delete(cx, &key).await }.boxed()).await?;
        state.sides.insert(side.clone(), place);
        self.keep(cx, "deploy", &state, Condition::Is(etag)).await.map(|_| ())
    }

    /// What is in the folder now.
    pub(super) async fn files(&self) -> Result<Vec<Local>, Fault> {
        let (upload, assets) = (self.upload.clone(), self.assets.clone());
        let read = tokio::task::spawn_blocking(move || folder::read(&upload, &assets)).await;
        let files = read.unwrap_or_else(|why| Err(why.to_string()));
        files.map_err(|why| self.refusal("deploy", why))
    }

    async fn digest(&self, file: &Local) -> Result<String, Fault> {
        let (path, size) = (file.path.clone(), file.size);
        let read = tokio::task::spawn_blocking(move || folder::digest(&path, size)).await;
        read.unwrap_or_else(|why| Err(why.to_string())).map_err(|why| self.refusal("deploy", why))
    }

    /// A file that never changes under its name: sent unless it is there.
    async fn send_asset(&self, cx: &Context, file: &Local) -> Result<(), Fault> {
        let key = self.key(&file.name);
        let sha256 = self.digest(file).await?;
        let headers = Headers {
            content_type: Some(content_type(&file.name).into()),
            cache_control: Some(FOR_EVER.into()),
            ..Headers::default()
        };
        for attempt in 1..=TRIES_MAX {
            if let Some(found) = self.store.head(cx, &key).await? {
                return self.same(cx, &key, file, &sha256, &found).await;
            }
            match self.store.put_file(cx, &key, file, &sha256, &headers, true).await {
                Ok(true) => return Ok(()),
                Err(fault) if fault.treat == Treat::Permanent || attempt == TRIES_MAX => return Err(fault),
                // somebody else was faster, or the answer was lost: look
                Ok(false) | Err(_) => {}
            }
        }
        Err(Fault::temporary(PROVIDER, "send a file", key, "other writes are under way"))
    }

    async fn same(
        &self,
        cx: &Context,
        key: &str,
        file: &Local,
        sha256: &str,
        found: &Head,
    ) -> Result<(), Fault> {
        let same = found.size == file.size
            && match &found.sha256 {
                Some(known) => known == sha256,
                None => self.store.digest(cx, key).await? == sha256,
            };
        if same {
            return Ok(());
        }
        let detail = format!(
            "s3://{}/{key} is there with another content ({} bytes, here {}), and its name says that it never \
             changes; nothing live was changed",
            self.store.bucket, found.size, file.size
        );
        Err(self.refusal("deploy", detail).hint(format!(
            "a hash that stands for two contents is a fault of the build; if the name only looks like one, \
             say so: `assets: [\"!{}\"]`",
            file.name
        )))
    }

    /// A file that goes over at the switch, to its side's place.
    async fn send_page(
        &self,
        cx: &Context,
        side: &SideName,
        release: &ReleaseName,
        file: &Local,
    ) -> Result<(), Fault> {
        let key = self.place_key(side, &file.name);
        let sha256 = self.digest(file).await?;
        let headers = Headers {
            content_type: Some(content_type(&file.name).into()),
            cache_control: Some(ASK_AGAIN.into()),
            metadata: marks(side, Some(release.as_str())),
            ..Headers::default()
        };
        for _ in 1..TRIES_MAX {
            match self.store.put_file(cx, &key, file, &sha256, &headers, false).await {
                Err(fault) if fault.treat == Treat::OutcomeUnknown => {
                    let found = self.store.head(cx, &key).await?;
                    let there = |head: &Head| {
                        head.sha256.as_ref() == Some(&sha256) && head.headers.metadata == headers.metadata
                    };
                    if found.as_ref().is_some_and(there) {
                        return Ok(());
                    }
                }
                answer => return answer.map(|_| ()),
            }
        }
        self.store.put_file(cx, &key, file, &sha256, &headers, false).await.map(|_| ())
    }

    /// Makes the live side's place hold what is live of these files, whoever put it there: the way back.
    async fn keep_live(
        &self,
        cx: &Context,
        live: &SideName,
        place: Option<&Place>,
        names: Vec<&String>,
    ) -> Result<Place, Fault> {
        let found = each(names, |name| self.keep_one(cx, live, place, name).boxed()).await?;
        let foreign = found.iter().any(|(name, _, copied)| *copied && *name == self.entry.as_str());
        let files = found.into_iter().filter_map(|(name, size, _)| Some((name.clone(), size?))).collect();
        let release = place.and_then(|place| place.release.clone()).filter(|_| !foreign);
        Ok(Place { release, complete: true, files })
    }

    /// The same for one file: its bytes, if it is live, and whether it had to be copied.
    async fn keep_one<'n>(
        &self,
        cx: &Context,
        live: &SideName,
        place: Option<&Place>,
        name: &'n String,
    ) -> Result<(&'n String, Option<u64>, bool), Fault> {
        let release = place.and_then(|place| place.release.as_deref());
        let Some(head) = self.store.head(cx, &self.key(name)).await? else { return Ok((name, None, false)) };
        let ours = Page::Marked { side: live.to_string(), release: release.map(mark).unwrap_or_default() };
        let known = place.and_then(|place| place.files.get(name)) == Some(&head.size);
        if known && Page::of(Some(&head)) == ours {
            return Ok((name, Some(head.size), false));
        }
        if head.headers.redirect.is_some() {
            let why = format!("{name} is a redirect of a website endpoint, which cannot be switched back");
            return Err(self.refusal("deploy", why).hint("make it a page, or a rule of CloudFront"));
        }
        // whose release it is is not known
        let headers = Headers { metadata: both(&head.headers.metadata, marks(live, None)), ..head.headers };
        let to = self.place_key(live, name);
        match self.store.copy(cx, &self.key(name), &to, Some((&head.etag, &headers))).await? {
            true => Ok((name, Some(head.size), true)),
            false => {
                let detail = "it changed while it was copied; nothing live was changed";
                Err(Fault::temporary(PROVIDER, "deploy", self.key(name), detail))
            }
        }
    }

    /// Replaces what is recorded, unless somebody else did; the new ETag. Where the answer was lost, or says
    /// that another write came before, what is there tells whether that one was ours.
    pub(super) async fn keep(
        &self,
        cx: &Context,
        operation: &str,
        state: &State,
        condition: Condition,
    ) -> Result<String, Fault> {
        let (key, written) = (self.state_key(), state.written());
        let fault = match self.store.put_text(cx, &key, written.clone(), condition).await {
            Ok(Some(etag)) => return Ok(etag),
            Ok(None) => {
                let object = format!("s3://{}/{key}", self.store.bucket);
                Fault::temporary(PROVIDER, operation, object, "another run has changed it meanwhile")
            }
            Err(fault) if fault.treat == Treat::OutcomeUnknown => fault,
            Err(fault) => return Err(fault),
        };
        match self.store.text(cx, &key).await {
            Ok(Some((found, etag))) if found == written => Ok(etag),
            Ok(_) => Err(fault),
            Err(_) => Err(Fault { treat: Treat::OutcomeUnknown, ..fault }),
        }
    }
}

fn marks(side: &SideName, release: Option<&str>) -> BTreeMap<String, String> {
    let mut marks = BTreeMap::from([(SIDE_MARK.to_string(), side.to_string())]);
    marks.extend(release.map(|release| (RELEASE_MARK.to_string(), mark(release))));
    marks
}

/// What a person put there stays, and our marks say where it is kept.
fn both(theirs: &BTreeMap<String, String>, ours: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let kept = theirs.iter().filter(|(name, _)| ![SIDE_MARK, RELEASE_MARK].contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).chain(ours).collect()
}
