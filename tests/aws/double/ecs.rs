//! ECS: services whose deployments make one step with every look, task definitions, and why tasks stopped.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

use super::{ACCOUNT, Answer, REGION, Request, State, elb::Elb, server};

const SERVICES_MAX: usize = 10;
const TAGS_MAX: usize = 50;
/// Failed tasks after which the circuit breaker acts.
const BREAKER: usize = 3;

/// Code and message; the status is 400.
type Refusal = (&'static str, String);

#[derive(Clone, Default)]
pub struct Ecs {
    pub clusters: BTreeSet<String>,
    /// By `CLUSTER/NAME`.
    pub services: BTreeMap<String, Service>,
    /// By `FAMILY:REVISION`.
    pub definitions: BTreeMap<String, Definition>,
    /// Images whose tasks do not live, and why.
    pub broken: BTreeMap<String, Ending>,
    /// How many looks at a service after a change still show what was there before it.
    pub delay: usize,
    /// Seconds: it passes with every change.
    now: i64,
    count: u32,
}

/// How a task ends.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    pub stopped_reason: String,
    pub container_reason: Option<String>,
    pub exit_code: Option<i32>,
}

#[derive(Clone, Debug)]
pub struct Definition {
    /// What was registered.
    pub value: Map<String, Value>,
    pub tags: BTreeMap<String, String>,
    pub active: bool,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub cluster: String,
    pub name: String,
    /// `FAMILY:REVISION`
    pub definition: String,
    pub desired: usize,
    /// Target group, container and port.
    pub behind: Option<(String, String, u16)>,
    pub controller: String,
    pub strategy: String,
    /// Whether the circuit breaker is on, and whether it rolls back.
    pub breaker: Option<bool>,
    pub deployments: Vec<Deployment>,
    pub tasks: Vec<Task>,
    pub events: Vec<(i64, String)>,
    pub tags: BTreeMap<String, String>,
    stopped: Vec<(String, Ending)>,
    /// What is still shown, and how often.
    before: Option<(Value, usize)>,
}

#[derive(Clone, Debug)]
pub struct Deployment {
    pub id: String,
    pub definition: String,
    pub state: String,
    pub reason: String,
    failed: usize,
    created: i64,
    updated: i64,
}

#[derive(Clone, Debug)]
pub struct Task {
    id: String,
    deployment: String,
    ip: String,
}

pub fn arn(resource: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{resource}")
}

/// The last part of an ARN, or a plain name.
fn plain(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

impl Ecs {
    /// Registers a task definition with one container; returns `FAMILY:REVISION`.
    pub fn define(&mut self, family: &str, container: &str, image: &str) -> String {
        let value = json!({
            "family": family, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256",
            "memory": "512", "executionRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/execution"),
            "containerDefinitions": [{
                "name": container, "image": image, "essential": true, "cpu": 0,
                "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}],
                "environment": [{"name": "PORT", "value": "8080"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": family}},
            }],
        });
        let tags = BTreeMap::from([("team".to_string(), "shop".to_string())]);
        self.put_definition(value.as_object().unwrap().clone(), tags)
    }

    fn put_definition(&mut self, value: Map<String, Value>, tags: BTreeMap<String, String>) -> String {
        let family = value["family"].as_str().unwrap().to_string();
        let own = |name: &&String| name.rsplit_once(':').is_some_and(|(before, _)| before == family);
        let revision = self.definitions.keys().filter(own).count() + 1;
        let name = format!("{family}:{revision}");
        self.definitions.insert(name.clone(), Definition { value, tags, active: true });
        name
    }

    /// A service that is steady, its tasks healthy in its group.
    pub fn serve(
        &mut self,
        elb: &mut Elb,
        cluster: &str,
        name: &str,
        definition: &str,
        desired: usize,
        behind: Option<(&str, &str, u16)>,
    ) {
        self.clusters.insert(cluster.into());
        let deployment = self.deployment(definition, "COMPLETED");
        let mut service = Service {
            cluster: cluster.into(),
            name: name.into(),
            definition: definition.into(),
            desired,
            behind: behind.map(|(group, container, port)| (group.into(), container.into(), port)),
            controller: "ECS".into(),
            strategy: "ROLLING".into(),
            breaker: Some(true),
            deployments: vec![deployment],
            tasks: Vec::new(),
            events: vec![(self.now, format!("(service {name}) has reached a steady state."))],
            tags: BTreeMap::new(),
            stopped: Vec::new(),
            before: None,
        };
        while service.tasks.len() < desired {
            self.start_task(&mut service, elb);
        }
        let group = service.behind.as_ref().and_then(|(group, ..)| elb.groups.get_mut(group));
        for target in group.into_iter().flat_map(|group| &mut group.targets) {
            target.state = super::elb::Health::Healthy;
        }
        self.services.insert(format!("{cluster}/{name}"), service);
    }

    pub fn service(&mut self, cluster: &str, name: &str) -> &mut Service {
        self.services.get_mut(&format!("{cluster}/{name}")).unwrap()
    }

    /// The image of the first container that a service is told to run.
    pub fn image(&self, cluster: &str, name: &str) -> String {
        self.image_of(&self.services[&format!("{cluster}/{name}")].definition)
    }

    fn image_of(&self, definition: &str) -> String {
        self.definitions[definition].value["containerDefinitions"][0]["image"].as_str().unwrap().into()
    }

    fn tick(&mut self) -> i64 {
        self.now += 1;
        self.now
    }

    fn number(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    fn deployment(&mut self, definition: &str, state: &str) -> Deployment {
        let now = self.tick();
        Deployment {
            id: format!("ecs-svc/{:019}", self.number()),
            definition: definition.into(),
            state: state.into(),
            reason: format!("ECS deployment {}.", state.to_lowercase().replace('_', " ")),
            failed: 0,
            created: now,
            updated: now,
        }
    }

    fn start_task(&mut self, service: &mut Service, elb: &mut Elb) {
        let number = self.number();
        let (id, ip) = (format!("{number:032x}"), format!("10.0.{}.{}", number / 250, number % 250 + 1));
        if let Some((group, _, port)) = &service.behind {
            elb.register(group, &ip, *port);
        }
        service.tasks.push(Task { id, deployment: service.deployments[0].id.clone(), ip });
    }

    pub fn answer(&mut self, request: &Request, others: &mut State) -> Answer {
        let asked = request.json();
        let text = |key: &str| asked[key].as_str().unwrap_or_default().to_string();
        let list = |key: &str| {
            let items = asked[key].as_array().cloned().unwrap_or_default();
            items.iter().filter_map(|item| item.as_str().map(str::to_string)).collect::<Vec<_>>()
        };
        let objects = [
            text("service"),
            text("taskDefinition"),
            text("family"),
            text("resourceArn"),
            list("services").join(" "),
        ];
        let object = objects.into_iter().find(|object| !object.is_empty()).unwrap_or_default();
        let result = match request.operation.as_str() {
            "DescribeServices" => self.describe_services(&asked, &list("services"), &mut others.elb),
            "UpdateService" => self.update_service(&asked, &mut others.elb),
            "RegisterTaskDefinition" => self.register(&asked),
            "DescribeTaskDefinition" => self.describe_definition(&asked),
            "TagResource" | "UntagResource" => self.tag(request.operation == "TagResource", &asked),
            "ListTasks" => self.list_tasks(&asked),
            "DescribeTasks" => self.describe_tasks(&asked, &list("tasks")),
            "DescribeClusters" => self.describe_clusters(&list("clusters")),
            _ => return Answer::unknown(request),
        };
        let response = match result {
            Ok(value) => server::json(200, &value),
            Err((code, message)) => server::json_error(400, code, &message),
        };
        Answer::new(request, object, response)
    }

    fn cluster(&self, asked: &Value) -> Result<String, Refusal> {
        let name = plain(asked["cluster"].as_str().unwrap_or("default")).to_string();
        match self.clusters.contains(&name) {
            true => Ok(name),
            false => Err(("ClusterNotFoundException", "Cluster not found.".into())),
        }
    }

    fn describe_services(
        &mut self,
        asked: &Value,
        names: &[String],
        elb: &mut Elb,
    ) -> Result<Value, Refusal> {
        only(asked, &["cluster", "services", "include"])?;
        if names.is_empty() || names.len() > SERVICES_MAX {
            return Err(invalid("Services must be between 1 and 10"));
        }
        let cluster = self.cluster(asked)?;
        let tagged = asked["include"].as_array().is_some_and(|list| list.contains(&json!("TAGS")));
        let (mut services, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let key = format!("{cluster}/{}", plain(name));
            match self.services.remove(&key) {
                None => failures.push(json!({"arn": arn(&format!("service/{key}")), "reason": "MISSING"})),
                Some(mut service) => {
                    if let Some((before, left)) = service.before.take() {
                        services.push(before.clone());
                        service.before = (left > 1).then_some((before, left - 1));
                        self.services.insert(key, service);
                        continue;
                    }
                    self.step(&mut service, elb);
                    services.push(self.shown(&service, tagged));
                    self.services.insert(key, service);
                }
            }
        }
        Ok(json!({"services": services, "failures": failures}))
    }

    fn shown(&self, service: &Service, tagged: bool) -> Value {
        let full = format!("service/{}/{}", service.cluster, service.name);
        let definition = |name: &str| arn(&format!("task-definition/{name}"));
        let deployments: Vec<_> = service.deployments.iter().enumerate().map(|(at, d)| {
            let running = service.tasks.iter().filter(|task| task.deployment == d.id).count();
            json!({
                "id": d.id, "status": if at == 0 { "PRIMARY" } else { "ACTIVE" },
                "taskDefinition": definition(&d.definition), "desiredCount": service.desired, "pendingCount": 0,
                "runningCount": running, "failedTasks": d.failed, "createdAt": d.created, "updatedAt": d.updated,
                "launchType": "FARGATE", "rolloutState": d.state, "rolloutStateReason": d.reason,
            })
        }).collect();
        let events = service.events.iter().rev().enumerate();
        let events: Vec<_> = events
            .map(|(at, (time, text))| json!({"id": at.to_string(), "createdAt": time, "message": text}))
            .collect();
        let mut shown = json!({
            "serviceArn": arn(&full), "serviceName": service.name, "status": "ACTIVE",
            "clusterArn": arn(&format!("cluster/{}", service.cluster)), "desiredCount": service.desired,
            "runningCount": service.tasks.len(), "pendingCount": 0, "launchType": "FARGATE",
            "taskDefinition": definition(&service.definition), "deployments": deployments, "events": events,
            "deploymentController": {"type": service.controller}, "schedulingStrategy": "REPLICA",
            "deploymentConfiguration": {
                "strategy": service.strategy, "maximumPercent": 200, "minimumHealthyPercent": 100,
                "deploymentCircuitBreaker": {
                    "enable": service.breaker.is_some(), "rollback": service.breaker == Some(true),
                },
            },
            "loadBalancers": [], "serviceRegistries": [], "createdAt": 0,
        });
        if let Some((group, container, port)) = &service.behind {
            shown["loadBalancers"] =
                json!([{"targetGroupArn": group, "containerName": container, "containerPort": port}]);
        }
        if tagged {
            shown["tags"] = tags_shown(&service.tags);
        }
        shown
    }

    /// One step of what ECS does by itself.
    fn step(&mut self, service: &mut Service, elb: &mut Elb) {
        if service.controller != "ECS" {
            return;
        }
        let primary = service.deployments[0].clone();
        let own = service.tasks.iter().filter(|task| task.deployment == primary.id).count();
        let ending = self.broken.get(&self.image_of(&primary.definition)).cloned();
        if primary.state == "FAILED" {
            return;
        }
        if let (Some(ending), true) = (ending, own < service.desired && primary.state == "IN_PROGRESS") {
            return self.fail_task(service, elb, ending);
        }
        if own < service.desired {
            self.start_task(service, elb);
            return;
        }
        let surplus =
            service.tasks.iter().position(|task| own > service.desired && task.deployment == primary.id);
        if let Some(at) = surplus {
            stop(service, elb, at);
            return;
        }
        let group = service.behind.as_ref().map(|(group, ..)| group.clone());
        let well = |task: &Task| group.as_ref().is_none_or(|g| !elb.attached(g) || elb.healthy(g, &task.ip));
        if primary.state == "IN_PROGRESS"
            && service.tasks.iter().filter(|t| t.deployment == primary.id).all(well)
        {
            while let Some(at) = service.tasks.iter().position(|task| task.deployment != primary.id) {
                stop(service, elb, at);
            }
            let now = self.tick();
            service.deployments.truncate(1);
            let won = &mut service.deployments[0];
            (won.state, won.updated) = ("COMPLETED".into(), now);
            won.reason = format!("ECS deployment {} completed.", won.id);
            service.events.push((now, format!("(service {}) has reached a steady state.", service.name)));
        }
    }

    fn fail_task(&mut self, service: &mut Service, elb: &mut Elb, ending: Ending) {
        let now = self.tick();
        let number = self.number();
        let name = service.name.clone();
        service.stopped.push((format!("{number:032x}"), ending));
        service.events.push((now, format!("(service {name}) has started 1 tasks: (task {number:032x}).")));
        let breaker = service.breaker;
        let primary = &mut service.deployments[0];
        primary.failed += 1;
        let id = primary.id.clone();
        let Some(rollback) = breaker.filter(|_| primary.failed >= BREAKER) else { return };
        (primary.state, primary.updated) = ("FAILED".into(), now);
        primary.reason = "ECS deployment circuit breaker: tasks failed to start.".into();
        service.events.push((
            now,
            format!("(service {name}) (deployment {id}) deployment failed: tasks failed to start."),
        ));
        if !rollback || service.deployments.len() < 2 {
            return;
        }
        // the one before it is PRIMARY again, with its own id
        let lost = service.deployments.remove(0);
        let back = &mut service.deployments[0];
        back.updated = now;
        back.state = "IN_PROGRESS".into();
        back.reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", back.id);
        service.definition = back.definition.clone();
        service.events.push((now, format!("(service {name}) rolling back to deployment {}.", back.id)));
        while let Some(at) = service.tasks.iter().position(|task| task.deployment == lost.id) {
            stop(service, elb, at);
        }
    }

    fn update_service(&mut self, asked: &Value, elb: &mut Elb) -> Result<Value, Refusal> {
        only(asked, &["cluster", "service", "taskDefinition", "desiredCount", "forceNewDeployment"])?;
        let cluster = self.cluster(asked)?;
        let key = format!("{cluster}/{}", plain(asked["service"].as_str().unwrap_or_default()));
        let missing = ("ServiceNotFoundException", "Service not found.".to_string());
        let mut service = self.services.get(&key).cloned().ok_or(missing)?;
        if self.delay > 0 && service.before.is_none() {
            service.before = Some((self.shown(&service, true), self.delay));
        }
        let wanted = match asked["taskDefinition"].as_str() {
            None => service.definition.clone(),
            Some(name) => {
                let name = name.rsplit("task-definition/").next().unwrap_or(name);
                match self.definitions.get(name) {
                    Some(definition) if definition.active => name.to_string(),
                    Some(_) => return Err(("ClientException", "TaskDefinition is inactive".into())),
                    None => return Err(("ClientException", "Unable to describe task definition.".into())),
                }
            }
        };
        if service.controller != "ECS" && wanted != service.definition {
            let message =
                "Unable to update task definition on services with a CODE_DEPLOY deployment controller.";
            return Err(("InvalidParameterException", message.into()));
        }
        if let Some(count) = asked["desiredCount"].as_i64() {
            service.desired =
                usize::try_from(count).map_err(|_| invalid("desiredCount cannot be negative"))?;
        }
        if wanted != service.definition || asked["forceNewDeployment"] == true {
            let deployment = self.deployment(&wanted, "IN_PROGRESS");
            service.deployments.insert(0, deployment);
            service.deployments.truncate(2);
            service.definition = wanted;
        }
        let _ = elb;
        self.services.insert(key, service.clone());
        Ok(json!({"service": self.shown(&service, false)}))
    }

    fn register(&mut self, asked: &Value) -> Result<Value, Refusal> {
        only(
            asked,
            &[
                "family",
                "taskRoleArn",
                "executionRoleArn",
                "networkMode",
                "containerDefinitions",
                "volumes",
                "placementConstraints",
                "requiresCompatibilities",
                "cpu",
                "memory",
                "tags",
                "pidMode",
                "ipcMode",
                "proxyConfiguration",
                "inferenceAccelerators",
                "ephemeralStorage",
                "runtimePlatform",
                "enableFaultInjection",
                "trustedExecutionConfiguration",
            ],
        )?;
        let mut value = asked.as_object().cloned().unwrap_or_default();
        let tags = tags_of(&value.remove("tags").unwrap_or_default())?;
        let family = value.get("family").and_then(Value::as_str).unwrap_or_default();
        let good = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if family.is_empty() || !family.chars().all(good) {
            return Err(("ClientException", "Family contains invalid characters.".into()));
        }
        let containers =
            value.get("containerDefinitions").and_then(Value::as_array).cloned().unwrap_or_default();
        if containers.is_empty()
            || containers.iter().any(|c| !c["name"].is_string() || !c["image"].is_string())
        {
            return Err(("ClientException", "Container.image and Container.name should not be null".into()));
        }
        let name = self.put_definition(value, tags);
        Ok(
            json!({"taskDefinition": self.definition_shown(&name), "tags": tags_shown(&self.definitions[&name].tags)}),
        )
    }

    fn definition_shown(&self, name: &str) -> Value {
        let definition = &self.definitions[name];
        let mut shown = definition.value.clone();
        let revision: i64 = name.rsplit(':').next().unwrap().parse().unwrap();
        shown.insert("taskDefinitionArn".into(), json!(arn(&format!("task-definition/{name}"))));
        shown.insert("revision".into(), json!(revision));
        shown.insert("status".into(), json!(if definition.active { "ACTIVE" } else { "INACTIVE" }));
        shown.insert("compatibilities".into(), json!(["EC2", "FARGATE"]));
        shown.insert("requiresAttributes".into(), json!([{"name": "ecs.capability.execution-role-awslogs"}]));
        shown.insert("registeredAt".into(), json!(1));
        shown.insert("registeredBy".into(), json!(super::USER));
        Value::Object(shown)
    }

    fn describe_definition(&self, asked: &Value) -> Result<Value, Refusal> {
        only(asked, &["taskDefinition", "include"])?;
        let name = asked["taskDefinition"].as_str().unwrap_or_default();
        let name = name.rsplit("task-definition/").next().unwrap_or(name);
        // without a revision it is the newest active one
        let revisions = self.definitions.iter().filter(|(_, definition)| definition.active);
        let numbers =
            revisions.filter_map(|(full, _)| full.strip_prefix(name)?.strip_prefix(':')?.parse().ok());
        let newest = numbers.max().map(|revision: u32| format!("{name}:{revision}"));
        let name = newest.as_deref().unwrap_or(name);
        if !self.definitions.contains_key(name) {
            return Err(("ClientException", "Unable to describe task definition.".into()));
        }
        Ok(
            json!({"taskDefinition": self.definition_shown(name), "tags": tags_shown(&self.definitions[name].tags)}),
        )
    }

    fn tag(&mut self, puts: bool, asked: &Value) -> Result<Value, Refusal> {
        only(asked, if puts { &["resourceArn", "tags"] } else { &["resourceArn", "tagKeys"] })?;
        let resource = asked["resourceArn"].as_str().unwrap_or_default();
        let key = resource.rsplit(":service/").next().unwrap_or_default().to_string();
        let found = self.services.get_mut(&key);
        let service =
            found.ok_or(("InvalidParameterException", "The specified service is not valid".to_string()))?;
        if puts {
            service.tags.extend(tags_of(&asked["tags"])?);
            if service.tags.len() > TAGS_MAX {
                return Err(invalid("The maximum number of tags that can be applied to a resource is 50"));
            }
        }
        for key in asked["tagKeys"].as_array().into_iter().flatten() {
            service.tags.remove(key.as_str().unwrap_or_default());
        }
        Ok(json!({}))
    }

    fn list_tasks(&self, asked: &Value) -> Result<Value, Refusal> {
        only(asked, &["cluster", "serviceName", "desiredStatus", "maxResults", "nextToken"])?;
        let key =
            format!("{}/{}", self.cluster(asked)?, plain(asked["serviceName"].as_str().unwrap_or_default()));
        let missing = ("ServiceNotFoundException", "Service not found.".to_string());
        let service = self.services.get(&key).ok_or(missing)?;
        let ids: Vec<&str> = match asked["desiredStatus"].as_str() {
            Some("STOPPED") => service.stopped.iter().map(|(id, _)| id.as_str()).collect(),
            _ => service.tasks.iter().map(|task| task.id.as_str()).collect(),
        };
        let most = asked["maxResults"].as_u64().unwrap_or(100) as usize;
        let arns: Vec<_> =
            ids.iter().take(most).map(|id| arn(&format!("task/{}/{id}", service.cluster))).collect();
        Ok(json!({"taskArns": arns}))
    }

    fn describe_tasks(&self, asked: &Value, arns: &[String]) -> Result<Value, Refusal> {
        only(asked, &["cluster", "tasks", "include"])?;
        self.cluster(asked)?;
        let mut tasks = Vec::new();
        for service in self.services.values() {
            for (id, ending) in
                service.stopped.iter().filter(|(id, _)| arns.iter().any(|arn| plain(arn) == id))
            {
                let container = json!({
                    "name": "api", "lastStatus": "STOPPED", "exitCode": ending.exit_code,
                    "reason": ending.container_reason,
                });
                let container: Map<_, _> = container
                    .as_object()
                    .unwrap()
                    .clone()
                    .into_iter()
                    .filter(|(_, v)| !v.is_null())
                    .collect();
                let broken = self.definitions.iter().find(|(name, _)| {
                    self.broken
                        .get(&self.image_of(name))
                        .is_some_and(|e| e.stopped_reason == ending.stopped_reason)
                });
                tasks.push(json!({
                    "taskArn": arn(&format!("task/{}/{id}", service.cluster)), "lastStatus": "STOPPED",
                    "desiredStatus": "STOPPED", "stoppedReason": ending.stopped_reason, "containers": [container],
                    "taskDefinitionArn": broken.map(|(name, _)| arn(&format!("task-definition/{name}"))),
                    "group": format!("service:{}", service.name), "version": 1,
                }));
            }
        }
        Ok(json!({"tasks": tasks, "failures": []}))
    }

    fn describe_clusters(&self, names: &[String]) -> Result<Value, Refusal> {
        let (found, missing): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| self.clusters.contains(plain(name)));
        let shown: Vec<_> = found
            .iter()
            .map(|name| json!({"clusterName": plain(name), "clusterArn": arn(&format!("cluster/{}", plain(name))), "status": "ACTIVE"}))
            .collect();
        let failures: Vec<_> = missing.iter().map(|name| json!({"arn": name, "reason": "MISSING"})).collect();
        Ok(json!({"clusters": shown, "failures": failures}))
    }
}

fn stop(service: &mut Service, elb: &mut Elb, at: usize) {
    let task = service.tasks.remove(at);
    if let Some((group, ..)) = &service.behind {
        elb.deregister(group, &task.ip);
    }
}

fn invalid(message: &str) -> Refusal {
    ("InvalidParameterException", message.to_string())
}

fn only(value: &Value, known: &[&str]) -> Result<(), Refusal> {
    let stranger =
        value.as_object().into_iter().flat_map(Map::keys).find(|key| !known.contains(&key.as_str()));
    stranger.map_or(Ok(()), |key| Err(("ClientException", format!("Unknown parameter in input: {key}"))))
}

fn tags_shown(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

fn tags_of(list: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let good = |c: char| c.is_alphanumeric() || " +-=._:/@".contains(c);
    let mut tags = BTreeMap::new();
    for tag in list.as_array().into_iter().flatten() {
        let text = |key: &str| tag[key].as_str().unwrap_or_default().to_string();
        let (key, value) = (text("key"), text("value"));
        let fits = (1..=128).contains(&key.len()) && value.len() <= 256;
        if !fits || !key.chars().chain(value.chars()).all(good) || key.starts_with("aws:") {
            return Err(invalid(&format!("the tag {key}={value} is not valid")));
        }
        tags.insert(key, value);
    }
    Ok(tags)
}
