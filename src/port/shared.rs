//! What adapters of one file have in common: a connection, a cache.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

type Things = HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>;

/// Things that are made once for all adapters that ask for the same: by type and key.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Things>>);

impl Shared {
    /// The thing of this type and key; `make` is called for the first who asks.
    pub fn get<T: Send + Sync + 'static>(&self, key: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (TypeId::of::<T>(), key.to_string());
        if let Some(thing) = things.get(&place).and_then(|thing| thing.clone().downcast().ok()) {
            return thing;
        }
        let thing = Arc::new(make());
        things.insert(place, thing.clone());
        thing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_thing_and_another_key_another() {
        let shared = Shared::default();
        let first = shared.get("a", || 1u8);
        assert_eq!((*first, *shared.get("a", || 2u8), *shared.get("b", || 3u8)), (1, 1, 3));
        assert_eq!(*shared.get("a", || 4u16), 4);
    }
}
