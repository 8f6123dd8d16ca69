//! Reads of several objects gathered into one call.
//!
//! Targets look at the same time and do not know of each other. What is asked within a moment goes out in
//! one request, and each asker gets its part.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

use crate::port::{Context, Fault};

/// How long the first asker waits for others.
const GATHER: Duration = Duration::from_millis(2);

type Waiting<V> = Vec<oneshot::Sender<Result<Option<V>, Fault>>>;

/// Gathers keys; `K` orders them within a request.
pub struct Batch<K, V> {
    /// The most keys that one request takes.
    most: usize,
    waiting: Mutex<HashMap<K, Waiting<V>>>,
}

impl<K: Clone + Eq + Hash + Ord, V: Clone> Batch<K, V> {
    pub fn new(most: usize) -> Self {
        Batch { most, waiting: Mutex::default() }
    }

    /// The value of `key`, read together with what others ask for now; `None` if the answer has none.
    /// `read` gets at most `most` keys.
    pub async fn get<F>(&self, cx: &Context, key: K, read: impl Fn(Vec<K>) -> F) -> Result<Option<V>, Fault>
    where
        F: Future<Output = Result<BTreeMap<K, V>, Fault>>,
    {
        let (answer, mut answered) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let first = waiting.is_empty();
            waiting.entry(key.clone()).or_default().push(answer);
            first
        };
        if first {
            let gathering = Gathering(Some(&self.waiting));
            cx.clock().sleep(GATHER).await;
            let gathered = gathering.done();
            self.send(gathered, &read).await;
        }
        if let Ok(value) = answered.try_recv() {
            return value;
        }
        match answered.await {
            Ok(value) => value,
            // the one who gathered was cancelled: ask alone
            Err(_) => Ok(read(vec![key.clone()]).await?.remove(&key)),
        }
    }

    async fn send<F>(&self, gathered: HashMap<K, Waiting<V>>, read: &impl Fn(Vec<K>) -> F)
    where
        F: Future<Output = Result<BTreeMap<K, V>, Fault>>,
    {
        let mut keys: Vec<K> = gathered.keys().cloned().collect();
        keys.sort();
        let mut gathered = gathered;
        let parts: Vec<_> = keys.chunks(self.most).map(<[K]>::to_vec).collect();
        let answers = futures_util::future::join_all(parts.iter().cloned().map(read)).await;
        for (part, answer) in parts.iter().zip(answers) {
            for key in part {
                let value = answer.as_ref().map(|found| found.get(key).cloned()).map_err(Fault::clone);
                for asker in gathered.remove(key).unwrap_or_default() {
                    // one who asks no more needs no answer
                    let _ = asker.send(value.clone());
                }
            }
        }
    }
}

/// While this is there somebody gathers; dropped in the middle, it lets the others ask for themselves.
struct Gathering<'a, K, V>(Option<&'a Mutex<HashMap<K, Waiting<V>>>>);

impl<K, V> Gathering<'_, K, V> {
    fn done(mut self) -> HashMap<K, Waiting<V>> {
        self.0.take().map(gathered).unwrap_or_default()
    }
}

impl<K, V> Drop for Gathering<'_, K, V> {
    fn drop(&mut self) {
        self.0.take().map(gathered);
    }
}

fn gathered<K, V>(waiting: &Mutex<HashMap<K, Waiting<V>>>) -> HashMap<K, Waiting<V>> {
    std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A batch that adapters share.
pub type SharedBatch<K, V> = Arc<Batch<K, V>>;
