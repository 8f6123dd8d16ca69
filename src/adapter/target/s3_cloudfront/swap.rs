//! The switch: one side's files over the live ones, then out of CloudFront's caches.

use futures_util::FutureExt;
use std::time::Duration;

use super::{
    Site,
    each::each,
    state::{Invalidation, State, Switch, escaped},
    store::Condition,
};
use crate::{
    domain::names::SideName,
    port::{Context, Fault, Treat},
};

/// Beyond this everything is invalidated: CloudFront charges by the path.
const PATHS_MAX: usize = 100;
const INVALIDATE_LIMIT: Duration = Duration::from_secs(10);

impl Site {
    /// Makes `to` live. Doing it twice is harmless; a switch that was begun is gone on with.
    pub(super) async fn switch(&self, cx: &Context, to: &SideName) -> Result<(), Fault> {
        let look = self.look(cx).await?;
        if look.standing.live == *to && (look.standing.unfinished.is_none() || look.invalidating) {
            return Ok(());
        }
        let Some(etag) = look.etag.clone() else {
            return Err(self
                .refusal("switch", format!("{to} was never deployed"))
                .hint("run `tidegate deploy` first"));
        };
        let mut state = look.state;
        if !state.sides.get(to).is_some_and(|place| place.complete) {
            return Err(self.refusal("switch", format!("{to} was not deployed to the end")));
        }
        let root = match (&self.cdn, state.viewer_root.clone()) {
            (Some(cdn), None) => Some(self.viewer_root(&cdn.look(cx).await?)?),
            (_, known) => known,
        };
        state.viewer_root = root.clone();
        // a switch that goes on keeps its id, so that its invalidation is made once
        let going_on = state.switch.as_ref().filter(|switch| !switch.done && switch.to == *to);
        let (id, etag) = match going_on {
            Some(switch) => (switch.id.clone(), etag),
            None => {
                let id = self.made_up()?;
                state.switch =
                    Some(Switch { to: to.clone(), id: id.clone(), done: false, invalidation: None });
                (id, self.keep(cx, "switch", &state, Condition::Is(etag)).await?)
            }
        };
        self.go_over(cx, state, to, &id, root.as_deref().unwrap_or("/"), etag).await.map_err(begun)
    }

    /// From here on the live files change.
    async fn go_over(
        &self,
        cx: &Context,
        mut state: State,
        to: &SideName,
        id: &str,
        root: &str,
        etag: String,
    ) -> Result<(), Fault> {
        let files = state.sides.get(to).map(|place| place.files.clone()).unwrap_or_default();
        let entry = self.entry.as_str();
        // the page that names the others comes last
        let others: Vec<&String> = files.keys().filter(|name| *name != entry).collect();
        each(others, |name| self.bring(cx, to, name).boxed()).await?;
        if files.contains_key(entry) {
            self.bring(cx, to, entry).await?;
        }
        let leftover: Vec<String> = state.leftover(to).into_iter().cloned().collect();
        each(&leftover, |name| async move { self.store.delete(cx, &self.key(name)).await }.boxed()).await?;
        let mut invalidation = None;
        if let Some(cdn) = &self.cdn {
            let paths = match self.invalidate.is_empty() {
                true => viewer_paths(files.keys().chain(&leftover), root),
                false => self.invalidate.iter().map(|path| path.as_str().to_string()).collect(),
            };
            let made = cdn.invalidate(&cx.within(INVALIDATE_LIMIT), paths, &format!("tidegate-{id}")).await?;
            invalidation = Some(Invalidation { distribution: cdn.distribution.clone(), id: made });
        }
        state.switch = Some(Switch { to: to.clone(), id: id.to_string(), done: true, invalidation });
        self.keep(cx, "switch", &state, Condition::Is(etag)).await.map(|_| ())
    }

    async fn bring(&self, cx: &Context, side: &SideName, name: &str) -> Result<(), Fault> {
        self.store.copy(cx, &self.place_key(side, name), &self.key(name), None).await.map(|_| ())
    }
}

/// Something is changed by now, whatever the last call said.
fn begun(fault: Fault) -> Fault {
    let detail = match fault.treat {
        Treat::OutcomeUnknown => fault.detail,
        _ => format!("{}; the switch was begun and is gone on with, or taken back", fault.detail),
    };
    Fault { treat: Treat::OutcomeUnknown, detail, ..fault }
}

/// Every file as viewers ask for it. A page of a folder is asked for by the folder, too.
fn viewer_paths<'a>(names: impl Iterator<Item = &'a String>, root: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for name in names {
        let path = format!("{root}{}", escaped(name, b"-._~/!$&'()+,;=:@"));
        if let Some(folder) = path.strip_suffix("index.html").filter(|folder| folder.ends_with('/')) {
            paths.push(folder.to_string());
        }
        paths.push(path);
    }
    if paths.len() > PATHS_MAX {
        return vec![format!("{root}*")];
    }
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str], root: &str) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        viewer_paths(names.iter(), root)
    }

    #[test]
    fn exactly_what_was_switched_is_invalidated_and_the_folder_of_an_index() {
        assert_eq!(
            paths(&["index.html", "a/index.html", "b c/ü.txt"], "/"),
            ["/", "/a/", "/a/index.html", "/b%20c/%C3%BC.txt", "/index.html",]
        );
        assert_eq!(paths(&["index.html"], "/shop/"), ["/shop/", "/shop/index.html"]);
        assert_eq!(paths(&["myindex.html"], "/"), ["/myindex.html"]);
    }

    #[test]
    fn more_paths_than_are_cheap_are_one() {
        let names: Vec<String> = (0..=PATHS_MAX).map(|n| format!("{n}.txt")).collect();
        assert_eq!(viewer_paths(names.iter(), "/shop/"), ["/shop/*"]);
    }
}
