//! Application Load Balancers: rules and default actions with weighted target groups, and the health of what
//! is in the groups. A target becomes healthy by being looked at, and only where its group is attached.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::{ACCOUNT, Answer, REGION, Request, Response, State, server};

const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
const WEIGHT_MAX: i64 = 999;
const GROUPS_MAX: usize = 5;
const STICKY_SECONDS_MAX: i64 = 604_800;

/// Status, code, message.
type Refusal = (u16, &'static str, String);

#[derive(Clone, Default)]
pub struct Elb {
    pub rules: BTreeMap<String, Rule>,
    /// Default actions of listeners.
    pub listeners: BTreeMap<String, Rule>,
    pub groups: BTreeMap<String, Group>,
    /// How many reads after a write still show what was there before it.
    pub delay: usize,
    /// Looks that a target is `initial` before it is healthy.
    pub initial_looks: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// As the API shows them, without secrets.
    pub actions: Vec<Value>,
    pub is_default: bool,
    before: Vec<Value>,
    stale: usize,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub targets: Vec<Target>,
    pub health_check: bool,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: String,
    pub port: u16,
    pub state: Health,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Was looked at so often.
    Initial(usize),
    Healthy,
    /// Reason and description.
    Unhealthy(String, String),
    Draining,
}

pub fn arn(resource: &str) -> String {
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{resource}")
}

/// A forward action to groups by weight.
pub fn forward(groups: &[(&str, u32)]) -> Value {
    let groups: Vec<_> =
        groups.iter().map(|(arn, weight)| json!({"TargetGroupArn": arn, "Weight": weight})).collect();
    json!({"Type": "forward", "ForwardConfig": {"TargetGroups": groups}})
}

impl Elb {
    /// A group without targets; returns its ARN.
    pub fn group(&mut self, name: &str) -> String {
        let arn = arn(&format!("targetgroup/{name}/73e2d6bc24d8a067"));
        let attributes = [
            ("deregistration_delay.timeout_seconds", "300"),
            ("stickiness.enabled", "false"),
            ("stickiness.type", "lb_cookie"),
            ("stickiness.lb_cookie.duration_seconds", "86400"),
        ];
        let attributes = attributes.map(|(k, v)| (k.to_string(), v.to_string())).into();
        self.groups.insert(arn.clone(), Group { targets: Vec::new(), health_check: true, attributes });
        arn
    }

    /// A rule of the load balancer `name`; returns its ARN.
    pub fn rule(&mut self, name: &str, actions: Vec<Value>) -> String {
        let arn =
            arn(&format!("listener-rule/app/{name}/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"));
        self.rules.insert(arn.clone(), Rule { actions: numbered(actions), ..Rule::default() });
        arn
    }

    /// A listener of the load balancer `name`; returns its ARN.
    pub fn listener(&mut self, name: &str, actions: Vec<Value>) -> String {
        let arn = arn(&format!("listener/app/{name}/50dc6c495c0c9188/f2f7dc8efc522ab2"));
        self.listeners.insert(arn.clone(), Rule { actions: numbered(actions), ..Rule::default() });
        arn
    }

    /// What the rule or listener really does, as ARN and weight.
    pub fn weights(&self, place: &str) -> Vec<(String, i64)> {
        let held = self.rules.get(place).or(self.listeners.get(place)).unwrap();
        held.actions.iter().flat_map(tuples).collect()
    }

    pub fn attached(&self, group: &str) -> bool {
        let all = self.rules.values().chain(self.listeners.values());
        all.flat_map(|rule| &rule.actions).flat_map(tuples).any(|(arn, _)| arn == group)
    }

    /// Puts a target in, as ECS does.
    pub fn register(&mut self, group: &str, id: &str, port: u16) {
        if let Some(group) = self.groups.get_mut(group) {
            group.targets.push(Target { id: id.into(), port, state: Health::Initial(0) });
        }
    }

    /// Takes it out: it drains until the next look.
    pub fn deregister(&mut self, group: &str, id: &str) {
        let targets = self.groups.get_mut(group).into_iter().flat_map(|group| &mut group.targets);
        for target in targets.filter(|target| target.id == id) {
            target.state = Health::Draining;
        }
    }

    pub fn healthy(&self, group: &str, id: &str) -> bool {
        let targets = self.groups.get(group).into_iter().flat_map(|group| &group.targets);
        targets.filter(|t| t.id == id).any(|t| t.state == Health::Healthy)
    }

    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        let form = request.form();
        let named =
            ["RuleArns", "ListenerArns", "TargetGroupArns"].map(|list| request.form_list(list)).concat();
        let single =
            ["RuleArn", "ListenerArn", "TargetGroupArn"].iter().find_map(|name| form.get(*name).cloned());
        let object = single.unwrap_or_else(|| named.join(" "));
        let result = match request.operation.as_str() {
            "DescribeRules" => self.describe_rules(request),
            "DescribeListeners" => self.describe_listeners(request),
            "ModifyRule" => self.modify(request, "RuleArn", "Actions"),
            "ModifyListener" => self.modify(request, "ListenerArn", "DefaultActions"),
            "DescribeTargetGroups" => self.describe_groups(request),
            "DescribeTargetGroupAttributes" => self.describe_attributes(request),
            "DescribeTargetHealth" => self.describe_health(request),
            _ => return Answer::unknown(request),
        };
        let response = result.map_or_else(
            |(status, code, message): Refusal| server::query_error(status, code, &message),
            |result| -> Response { server::query_result(&request.operation, NAMESPACE, &result) },
        );
        Answer::new(request, object, response)
    }

    fn describe_rules(&mut self, request: &Request) -> Result<String, Refusal> {
        only(&tree(&request.form()), &["RuleArns", "ListenerArn", "Marker", "PageSize"])?;
        let arns = request.form_list("RuleArns");
        if arns.is_empty() {
            return Err(invalid("You must specify either listener ARN or rule ARNs"));
        }
        let mut text = String::new();
        for arn in &arns {
            let rule = self.rules.get_mut(arn);
            let rule = rule.ok_or((400, "RuleNotFound", "One or more rules not found".to_string()))?;
            let (priority, is_default) = (if rule.is_default { "default" } else { "10" }, rule.is_default);
            let shown = json!({
                "RuleArn": arn, "Priority": priority, "IsDefault": is_default, "Actions": rule.look(),
                "Conditions": [{"Field": "path-pattern", "Values": ["/*"]}],
            });
            text.push_str(&format!("<member>{}</member>", rendered(&shown)));
        }
        Ok(format!("<Rules>{text}</Rules>"))
    }

    fn describe_listeners(&mut self, request: &Request) -> Result<String, Refusal> {
        only(&tree(&request.form()), &["ListenerArns", "LoadBalancerArn", "Marker", "PageSize"])?;
        let arns = request.form_list("ListenerArns");
        if arns.is_empty() {
            return Err(invalid("You must specify either listener ARNs or a load balancer ARN"));
        }
        let mut text = String::new();
        for arn in &arns {
            let listener = self.listeners.get_mut(arn);
            let listener =
                listener.ok_or((400, "ListenerNotFound", "One or more listeners not found".to_string()))?;
            let shown = json!({
                "ListenerArn": arn, "Port": 443, "Protocol": "HTTPS", "DefaultActions": listener.look(),
            });
            text.push_str(&format!("<member>{}</member>", rendered(&shown)));
        }
        Ok(format!("<Listeners>{text}</Listeners>"))
    }

    /// The whole list of actions is replaced.
    fn modify(&mut self, request: &Request, key: &str, list: &str) -> Result<String, Refusal> {
        let asked = tree(&request.form());
        only(&asked, &[key, list])?;
        let arn = asked[key].as_str().unwrap_or_default().to_string();
        let actions = asked[list].as_array().cloned().unwrap_or_default();
        let delay = self.delay;
        let before = match key {
            "RuleArn" => {
                self.rules.get(&arn).cloned().ok_or((400, "RuleNotFound", "Rule not found".into()))?
            }
            _ => {
                let found = self.listeners.get(&arn).cloned();
                found.ok_or((400, "ListenerNotFound", "Listener not found".into()))?
            }
        };
        if before.is_default {
            let message = format!("Default rule '{arn}' cannot be modified");
            return Err((400, "OperationNotPermitted", message));
        }
        let actions = self.checked(actions, &before.actions)?;
        let held = if key == "RuleArn" { self.rules.get_mut(&arn) } else { self.listeners.get_mut(&arn) };
        let held = held.unwrap();
        if held.stale == 0 {
            held.before = std::mem::take(&mut held.actions);
        }
        (held.actions, held.stale) = (actions, delay);
        let shown = match key {
            "RuleArn" => format!(
                "<Rules><member>{}</member></Rules>",
                rendered(&json!({"RuleArn": arn, "Actions": held.actions}))
            ),
            _ => format!(
                "<Listeners><member>{}</member></Listeners>",
                rendered(&json!({"ListenerArn": arn, "DefaultActions": held.actions}))
            ),
        };
        Ok(shown)
    }

    /// The actions as they will be shown, or what AWS has against them.
    fn checked(&self, actions: Vec<Value>, before: &[Value]) -> Result<Vec<Value>, Refusal> {
        const LAST: [&str; 3] = ["forward", "redirect", "fixed-response"];
        let mut actions = numbered(actions);
        actions.sort_by_key(|action| action["Order"].as_i64());
        let kinds: Vec<_> =
            actions.iter().map(|a| a["Type"].as_str().unwrap_or_default().to_string()).collect();
        let last = kinds.iter().filter(|kind| LAST.contains(&kind.as_str())).count();
        if last != 1 || !kinds.last().is_some_and(|kind| LAST.contains(&kind.as_str())) {
            return Err((
                400,
                "InvalidLoadBalancerAction",
                "The last action must be forward, redirect or fixed-response, and only it".into(),
            ));
        }
        for action in &mut actions {
            let fields: Vec<String> = action.as_object().unwrap().keys().cloned().collect();
            let config = match action["Type"].as_str().unwrap() {
                "forward" => {
                    self.forward(action)?;
                    "ForwardConfig"
                }
                "authenticate-oidc" => {
                    let had = before.iter().any(|b| b["Type"] == "authenticate-oidc");
                    oidc(&mut action["AuthenticateOidcConfig"], had)?;
                    "AuthenticateOidcConfig"
                }
                "authenticate-cognito" => "AuthenticateCognitoConfig",
                "redirect" => "RedirectConfig",
                "fixed-response" => "FixedResponseConfig",
                other => return Err(invalid(&format!("'{other}' at 'actions.type' is no type"))),
            };
            let known = ["Type", "Order", "TargetGroupArn", config];
            if let Some(stranger) = fields.iter().find(|f| !known.contains(&f.as_str())) {
                return Err(invalid(&format!("'{stranger}' does not belong to this action")));
            }
        }
        Ok(actions)
    }

    fn forward(&self, action: &mut Value) -> Result<(), Refusal> {
        let single = action["TargetGroupArn"].as_str().map(str::to_string);
        let config = action["ForwardConfig"].as_object().cloned().unwrap_or_default();
        let mut groups = config.get("TargetGroups").and_then(Value::as_array).cloned().unwrap_or_default();
        match &single {
            Some(only) if groups.is_empty() => groups.push(json!({"TargetGroupArn": only, "Weight": "1"})),
            Some(only) if groups.len() > 1 || groups[0]["TargetGroupArn"] != only.as_str() => {
                return Err(invalid(
                    "TargetGroupArn and ForwardConfig must name the same single target group",
                ));
            }
            None if groups.is_empty() => return Err(invalid("A forward action needs a target group")),
            _ => {}
        }
        if groups.len() > GROUPS_MAX {
            return Err((400, "TooManyTargetGroups", "A forward action takes 5 target groups".into()));
        }
        let mut shown: Vec<Value> = Vec::new();
        for group in &groups {
            only(group, &["TargetGroupArn", "Weight"])?;
            let arn = group["TargetGroupArn"].as_str().unwrap_or_default();
            if !self.groups.contains_key(arn) {
                return Err((400, "TargetGroupNotFound", "One or more target groups not found".into()));
            }
            if shown.iter().any(|other| other["TargetGroupArn"] == arn) {
                return Err((400, "InvalidConfigurationRequest", "A target group is named twice".into()));
            }
            let weight = number(&group["Weight"], 1)?;
            if !(0..=WEIGHT_MAX).contains(&weight) {
                return Err(invalid(&format!("Weight '{weight}' must be between 0 and {WEIGHT_MAX}")));
            }
            shown.push(json!({"TargetGroupArn": arn, "Weight": weight}));
        }
        let sticky =
            config.get("TargetGroupStickinessConfig").cloned().unwrap_or(json!({"Enabled": "false"}));
        only(&sticky, &["Enabled", "DurationSeconds"])?;
        let enabled = sticky["Enabled"] == "true";
        let seconds = number(&sticky["DurationSeconds"], 0)?;
        if enabled && !(1..=STICKY_SECONDS_MAX).contains(&seconds) {
            return Err(invalid("DurationSeconds must be between 1 and 604800"));
        }
        let mut stickiness = json!({"Enabled": enabled});
        if seconds > 0 {
            stickiness["DurationSeconds"] = json!(seconds);
        }
        if let [only] = shown.as_slice() {
            action["TargetGroupArn"] = only["TargetGroupArn"].clone();
        }
        action["ForwardConfig"] = json!({"TargetGroups": shown, "TargetGroupStickinessConfig": stickiness});
        Ok(())
    }

    fn describe_groups(&self, request: &Request) -> Result<String, Refusal> {
        only(&tree(&request.form()), &["TargetGroupArns", "Names", "LoadBalancerArn", "Marker", "PageSize"])?;
        let mut text = String::new();
        for arn in request.form_list("TargetGroupArns") {
            let group = self.group_at(&arn)?;
            let shown = json!({
                "TargetGroupArn": arn, "TargetGroupName": arn.split('/').nth(1), "Protocol": "HTTP", "Port": 80,
                "TargetType": "ip", "HealthCheckEnabled": group.health_check, "HealthCheckPath": "/health",
            });
            text.push_str(&format!("<member>{}</member>", rendered(&shown)));
        }
        Ok(format!("<TargetGroups>{text}</TargetGroups>"))
    }

    fn group_at(&self, arn: &str) -> Result<&Group, Refusal> {
        self.groups.get(arn).ok_or((400, "TargetGroupNotFound", "One or more target groups not found".into()))
    }

    fn describe_attributes(&self, request: &Request) -> Result<String, Refusal> {
        let asked = tree(&request.form());
        only(&asked, &["TargetGroupArn"])?;
        let group = self.group_at(asked["TargetGroupArn"].as_str().unwrap_or_default())?;
        let shown: Vec<_> = group.attributes.iter().map(|(k, v)| json!({"Key": k, "Value": v})).collect();
        Ok(rendered(&json!({"Attributes": shown})))
    }

    fn describe_health(&mut self, request: &Request) -> Result<String, Refusal> {
        let asked = tree(&request.form());
        only(&asked, &["TargetGroupArn", "Targets", "Include"])?;
        let arn = asked["TargetGroupArn"].as_str().unwrap_or_default().to_string();
        self.group_at(&arn)?;
        let (attached, looks) = (self.attached(&arn), self.initial_looks);
        let mut shown = Vec::new();
        let group = self.groups.get_mut(&arn).unwrap();
        for target in &group.targets {
            let health = match &target.state {
                _ if !attached => json!({
                    "State": "unused", "Reason": "Target.NotInUse",
                    "Description": "Target group is not configured to receive traffic from the load balancer",
                }),
                Health::Initial(_) => json!({
                    "State": "initial", "Reason": "Elb.RegistrationInProgress",
                    "Description": "Target registration is in progress",
                }),
                Health::Healthy => json!({"State": "healthy"}),
                Health::Unhealthy(reason, text) => {
                    json!({"State": "unhealthy", "Reason": reason, "Description": text})
                }
                Health::Draining => json!({
                    "State": "draining", "Reason": "Target.DeregistrationInProgress",
                    "Description": "Target deregistration is in progress",
                }),
            };
            shown.push(json!({
                "Target": {"Id": target.id, "Port": target.port}, "HealthCheckPort": target.port.to_string(),
                "TargetHealth": health,
            }));
        }
        group.targets.retain(|target| target.state != Health::Draining);
        for target in group.targets.iter_mut().filter(|_| attached) {
            target.state = match &target.state {
                Health::Initial(seen) if *seen < looks => Health::Initial(seen + 1),
                Health::Initial(_) => Health::Healthy,
                other => other.clone(),
            };
        }
        Ok(rendered(&json!({"TargetHealthDescriptions": shown})))
    }
}

impl Rule {
    /// What a read shows: for a while still what was there before.
    fn look(&mut self) -> Vec<Value> {
        if self.stale == 0 {
            return self.actions.clone();
        }
        self.stale -= 1;
        self.before.clone()
    }
}

/// AWS keeps the secret and never shows it.
fn oidc(config: &mut Value, had: bool) -> Result<(), Refusal> {
    let Some(fields) = config.as_object_mut() else {
        return Err(invalid("AuthenticateOidcConfig is missing"));
    };
    let kept = fields.remove("UseExistingClientSecret").is_some_and(|value| value == "true");
    let given = fields.remove("ClientSecret").is_some();
    if given == kept || (kept && !had) {
        return Err(invalid(
            "Either ClientSecret or UseExistingClientSecret of an existing action is needed",
        ));
    }
    Ok(())
}

/// Every action with its place.
fn numbered(actions: Vec<Value>) -> Vec<Value> {
    let mut actions = actions;
    for (at, action) in actions.iter_mut().enumerate() {
        let order = action["Order"].as_str().and_then(|text| text.parse().ok()).or(action["Order"].as_i64());
        action["Order"] = json!(order.unwrap_or(at as i64 + 1));
    }
    actions
}

fn tuples(action: &Value) -> Vec<(String, i64)> {
    let groups = action["ForwardConfig"]["TargetGroups"].as_array().cloned().unwrap_or_default();
    let pair = |group: &Value| {
        (group["TargetGroupArn"].as_str().unwrap().to_string(), group["Weight"].as_i64().unwrap_or(1))
    };
    groups.iter().map(pair).collect()
}

fn invalid(message: &str) -> Refusal {
    (400, "ValidationError", message.to_string())
}

fn number(value: &Value, absent: i64) -> Result<i64, Refusal> {
    match value {
        Value::Null => Ok(absent),
        Value::String(text) => text.parse().map_err(|_| invalid(&format!("'{text}' is no number"))),
        other => other.as_i64().ok_or_else(|| invalid("no number")),
    }
}

/// The parameters of the Query protocol as a tree: `Actions.member.1.Type` is in a list of objects.
pub fn tree(form: &BTreeMap<String, String>) -> Value {
    let mut root = Value::Object(Map::new());
    for (key, value) in form.iter().filter(|(key, _)| !matches!(key.as_str(), "Action" | "Version")) {
        let mut place = &mut root;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if part == "member" {
                let number: usize = parts.next().unwrap().parse().unwrap();
                if !place.is_array() {
                    *place = json!([]);
                }
                let list = place.as_array_mut().unwrap();
                while list.len() < number {
                    list.push(Value::Null);
                }
                place = &mut list[number - 1];
            } else {
                place = &mut place[part];
            }
        }
        *place = Value::String(value.clone());
    }
    root
}

/// Refuses parameters that nobody knows.
fn only(value: &Value, known: &[&str]) -> Result<(), Refusal> {
    let stranger =
        value.as_object().into_iter().flat_map(Map::keys).find(|key| !known.contains(&key.as_str()));
    stranger.map_or(Ok(()), |key| Err(invalid(&format!("unknown parameter {key}"))))
}

/// A tree as XML: objects are elements, lists have members.
fn rendered(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => server::escaped(text),
        Value::Array(list) => {
            list.iter().map(|item| format!("<member>{}</member>", rendered(item))).collect()
        }
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(key, value)| format!("<{key}>{}</{key}>", rendered(value))).collect()
        }
        other => other.to_string(),
    }
}
