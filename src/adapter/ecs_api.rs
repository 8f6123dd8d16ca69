//! ECS as its targets need it: services read together, task definitions made from others, and what became
//! of a deployment.

pub mod rollout;
pub mod tags;
pub mod task_definition;

use aws_sdk_ecs::{
    Client,
    types::{Service, ServiceField, Tag},
};
use std::{collections::BTreeMap, sync::Arc};

use super::aws::{
    Access, Aws, Intent, PROVIDER,
    batch::{Batch, SharedBatch},
    call, resource_of,
};
use crate::port::{Context, Fault, adapter::Setting};
use task_definition::Definitions;

/// IAM's name for it.
pub const ECS: &str = "ecs";

/// `DescribeServices` takes ten services of one cluster.
const SERVICES_MAX: usize = 10;

/// One cluster. What is asked of it within a moment goes out together, whichever target asks.
pub struct Cluster {
    pub aws: Arc<Aws>,
    pub name: String,
    services: SharedBatch<String, Arc<Service>>,
    definitions: Arc<Definitions>,
}

/// A change of a service; what is `None` stays as it is.
#[derive(Debug, Default)]
pub struct Update<'a> {
    pub task_definition: Option<&'a str>,
    pub desired_count: Option<i32>,
    /// Begins a deployment even where nothing else changes.
    pub again: bool,
}

impl Cluster {
    pub fn new(name: &str, access: &Access, setting: &Setting) -> Self {
        let way = serde_json::to_string(access).unwrap_or_default();
        Cluster {
            aws: Aws::shared(access, setting),
            name: name.to_string(),
            services: setting.shared.get(&format!("{way} {name}"), || Batch::new(SERVICES_MAX)),
            definitions: setting.shared.get(&way, Definitions::default),
        }
    }

    /// What messages call a service.
    pub fn object(&self, service: &str) -> String {
        format!("service {}/{service}", self.name)
    }

    pub fn refusal(&self, operation: &'static str, service: &str, why: impl std::fmt::Display) -> Fault {
        Fault::permanent(PROVIDER, operation, self.object(service), format!("{why}; nothing was changed"))
    }

    /// A service with its tags; one that is deleted is not there.
    pub async fn service(&self, cx: &Context, name: &str) -> Result<Arc<Service>, Fault> {
        let read = |names: Vec<String>| self.describe(cx, names);
        let found = self.services.get(cx, name.to_string(), read).await?;
        found.filter(|service| service.status() != Some("INACTIVE")).ok_or_else(|| {
            let detail = format!("there is no service {name} in cluster {}", self.name);
            Fault::permanent(PROVIDER, "ecs:DescribeServices", self.object(name), detail)
        })
    }

    async fn describe(
        &self,
        cx: &Context,
        names: Vec<String>,
    ) -> Result<BTreeMap<String, Arc<Service>>, Fault> {
        let intent =
            Intent::read(ECS, "DescribeServices", format!("cluster {}: {}", self.name, names.join(", ")));
        let answer = call(&self.aws, cx, &intent, |config| {
            let ask = Client::new(&config).describe_services().cluster(&self.name);
            ask.set_services(Some(names.clone())).include(ServiceField::Tags).send()
        })
        .await?;
        let found = answer.services.unwrap_or_default().into_iter();
        Ok(found.filter_map(|s| Some((s.service_name.clone()?, Arc::new(s)))).collect())
    }

    /// Changes a service; its state right after is the answer.
    pub async fn update(
        &self,
        cx: &Context,
        service: &str,
        update: Update<'_>,
    ) -> Result<Option<Service>, Fault> {
        let intent = Intent::write(ECS, "UpdateService", self.object(service));
        let answer = call(&self.aws, cx, &intent, |config| {
            let ask = Client::new(&config).update_service().cluster(&self.name).service(service);
            let ask = ask
                .set_task_definition(update.task_definition.map(str::to_string))
                .set_desired_count(update.desired_count)
                .set_force_new_deployment(update.again.then_some(true));
            ask.send()
        })
        .await?;
        Ok(answer.service)
    }

    /// Puts tags on a service.
    pub async fn tag(&self, cx: &Context, service: &Service, tags: Vec<Tag>) -> Result<(), Fault> {
        let arn = service.service_arn().unwrap_or_default();
        let intent =
            Intent::write(ECS, "TagResource", self.object(service.service_name().unwrap_or_default()));
        call(&self.aws, cx, &intent, |config| {
            Client::new(&config).tag_resource().resource_arn(arn).set_tags(Some(tags.clone())).send()
        })
        .await
        .map(|_| ())
    }

    /// Takes a tag off a service.
    pub async fn untag(&self, cx: &Context, service: &Service, key: &str) -> Result<(), Fault> {
        let arn = service.service_arn().unwrap_or_default();
        let intent =
            Intent::write(ECS, "UntagResource", self.object(service.service_name().unwrap_or_default()));
        call(&self.aws, cx, &intent, |config| {
            Client::new(&config).untag_resource().resource_arn(arn).tag_keys(key).send()
        })
        .await
        .map(|_| ())
    }
}

/// `FAMILY:REVISION` of a task definition's ARN.
pub fn revision_of(arn: &str) -> &str {
    resource_of(arn).strip_prefix("task-definition/").unwrap_or(arn)
}

/// Marks a fault that came after something was done already: what it left is not as it was.
pub fn after(done: &[String], fault: Fault) -> Fault {
    if done.is_empty() {
        return fault;
    }
    let detail = format!("{}; done before it: {}", fault.detail, done.join(", "));
    Fault { treat: crate::port::Treat::OutcomeUnknown, detail, ..fault }
}
