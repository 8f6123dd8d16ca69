//! The distribution before the bucket.

use aws_config::SdkConfig;
use aws_sdk_cloudfront::{
    Client,
    types::{Distribution, InvalidationBatch, Paths},
};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    adapter::aws::{Aws, Intent, PROVIDER, call},
    port::{Context, Fault},
};

pub struct Cdn {
    pub aws: Arc<Aws>,
    pub distribution: String,
    /// The invalidation that was last seen to be over: it stays so.
    over: Mutex<Option<String>>,
}

impl Cdn {
    pub fn new(aws: Arc<Aws>, distribution: String) -> Self {
        Cdn { aws, distribution, over: Mutex::default() }
    }

    fn at(&self) -> String {
        format!("distribution {}", self.distribution)
    }

    pub async fn look(&self, cx: &Context) -> Result<Distribution, Fault> {
        let intent = Intent::read("cloudfront", "GetDistribution", self.at());
        let distribution = self.distribution.clone();
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = Client::new(&config).get_distribution().id(&distribution);
            async move { asked.send().await }
        });
        let found = answer.await?.distribution;
        found.ok_or_else(|| {
            Fault::permanent(PROVIDER, "cloudfront:GetDistribution", self.at(), "an empty answer")
        })
    }

    /// Asks for an invalidation and returns its id. The same reference makes no second one.
    pub async fn invalidate(
        &self,
        cx: &Context,
        paths: Vec<String>,
        reference: &str,
    ) -> Result<String, Fault> {
        let intent = Intent::write("cloudfront", "CreateInvalidation", self.at());
        let wrong = |why: &dyn std::fmt::Display| {
            Fault::permanent(PROVIDER, "cloudfront:CreateInvalidation", self.at(), why)
        };
        let quantity = i32::try_from(paths.len()).unwrap_or(i32::MAX);
        let paths = Paths::builder().quantity(quantity).set_items(Some(paths)).build();
        let batch = InvalidationBatch::builder()
            .paths(paths.map_err(|why| wrong(&why))?)
            .caller_reference(reference)
            .build()
            .map_err(|why| wrong(&why))?;
        let distribution = self.distribution.clone();
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = Client::new(&config).create_invalidation().distribution_id(&distribution);
            let asked = asked.invalidation_batch(batch.clone());
            async move { asked.send().await }
        });
        let made = answer.await.map_err(hinted)?.invalidation;
        Ok(made.ok_or_else(|| wrong(&"an empty answer"))?.id)
    }

    /// Whether an invalidation that was made is still under way. One that CloudFront has forgotten is over.
    pub async fn invalidating(&self, cx: &Context, id: &str) -> Result<bool, Fault> {
        if self.over.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(id) {
            return Ok(false);
        }
        let object = format!("invalidation {id} of {}", self.at());
        let intent = Intent::read("cloudfront", "GetInvalidation", object);
        let (distribution, named) = (self.distribution.clone(), id.to_string());
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = Client::new(&config).get_invalidation().distribution_id(&distribution).id(&named);
            async move {
                match asked.send().await {
                    Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_invalidation()) => {
                        Ok(None)
                    }
                    answer => answer.map(|answer| answer.invalidation),
                }
            }
        });
        let under_way = answer.await?.is_some_and(|found| !found.status.eq_ignore_ascii_case("completed"));
        if !under_way {
            *self.over.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.to_string());
        }
        Ok(under_way)
    }
}

fn hinted(fault: Fault) -> Fault {
    match fault.detail.contains("TooManyInvalidationsInProgress") {
        true => fault
            .hint("other invalidations of this distribution are under way: wait for them, then run it again"),
        false => fault,
    }
}
