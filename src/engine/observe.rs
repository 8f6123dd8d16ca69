//! Looking at targets, within deadlines and with retries: looking changes nothing.

use futures_util::future::join_all;
use std::time::Duration;

use super::{Engine, unit::Service};
use crate::{
    domain::{decision::World, observed::Observed, share::SideShares},
    error::Failure,
    port::{Context, Fault, Treat},
};

/// A look that fails in passing is repeated this often.
const LOOKS_MAX: u32 = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Engine<'_> {
    /// One look at one target.
    pub(crate) async fn observe(&self, service: &Service) -> Result<Observed, Fault> {
        self.look_up(service, async |cx| service.target.observe(cx).await).await
    }

    /// How the traffic of one target is split.
    pub(crate) async fn split(&self, service: &Service) -> Result<SideShares, Fault> {
        self.look_up(service, async |cx| service.target.split(cx).await).await
    }

    async fn look_up<T>(
        &self,
        service: &Service,
        call: impl AsyncFn(&Context) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut look = 1;
        loop {
            let cx = self.call();
            let answer = cx.bounded(call(&cx)).await.unwrap_or_else(|late| {
                let detail = format!("no answer within {} s", late.0.as_secs());
                Err(Fault::permanent("target", "observe", service.name.to_string(), detail))
            });
            match answer {
                Err(fault) if fault.treat != Treat::Permanent && look < LOOKS_MAX => {
                    look += 1;
                    self.clock.sleep(LOOK_AGAIN * look).await;
                }
                answer => return answer,
            }
        }
    }

    /// One look at each chosen service, at the same time.
    pub(crate) async fn observe_all(&self) -> Result<World, Failure> {
        self.observe_these(self.chosen()).await
    }

    /// One look at each of these services, at the same time.
    pub(crate) async fn observe_these<'s>(
        &self,
        services: impl Iterator<Item = &'s Service>,
    ) -> Result<World, Failure> {
        let looks = join_all(services.map(|s| async move { (s.name.clone(), self.observe(s).await) }));
        let mut world = World::new();
        for (name, observed) in self.stop.or(looks).await? {
            world.insert(name, observed.map_err(|fault| Failure::before_any_write(&fault))?);
        }
        Ok(world)
    }
}
