//! The double's deployments, issues and approvals.

use serde_json::{Value, json};

use crate::{
    api::{answer, query, refusal},
    double::{Op, invalid},
    openapi::OpenApi,
    wire::Message,
};

/// GitHub's states of a deployment.
const STATES: [&str; 7] = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];
/// GitHub takes no more characters.
const DESCRIPTION_MAX: usize = 140;
const BODY_MAX: usize = 65_536;

pub struct News {
    /// Oldest first, each with its statuses, oldest first.
    pub deployments: Vec<(Value, Vec<Value>)>,
    /// Oldest first, each with its comments.
    pub issues: Vec<(Value, Vec<Value>)>,
    /// Who approved the run, and in which words GitHub says so.
    pub approvals: Vec<(String, String)>,
    /// Names that are no tag, branch or commit of the repository.
    pub no_refs: Vec<String>,
    examples: [Value; 5],
}

impl News {
    pub fn new(description: &OpenApi) -> News {
        let example = |rest: &str, method, status| {
            description.example(&format!("/repos/{{owner}}/{{repo}}{rest}"), method, status)
        };
        News {
            deployments: Vec::new(),
            issues: Vec::new(),
            approvals: Vec::new(),
            no_refs: Vec::new(),
            examples: [
                example("/deployments", "post", 201),
                example("/deployments/{deployment_id}/statuses", "post", 201),
                example("/issues", "post", 201),
                example("/issues/{issue_number}/comments", "post", 201),
                example("/actions/runs/{run_id}/approvals", "get", 200),
            ],
        }
    }

    /// A deployment that something else made: a job's `environment:`, another tool.
    pub fn deployed_by_others(&mut self, environment: &str, sha: &str, log: &str) {
        let fields = json!({"environment": environment, "sha": sha, "task": "deploy", "payload": {}});
        let id = self.add_deployment(fields);
        self.add_status(id, json!({"state": "in_progress", "log_url": log, "target_url": log}));
    }

    fn add_deployment(&mut self, fields: Value) -> u64 {
        let id = 100 + self.deployments.len() as u64;
        self.deployments.push((laid_over(&self.examples[0], &json!({"id": id}), &fields), Vec::new()));
        id
    }

    fn add_status(&mut self, id: u64, fields: Value) -> Value {
        let status = laid_over(&self.examples[1], &json!({}), &fields);
        let of = self.deployments.iter_mut().find(|(deployment, _)| deployment["id"] == json!(id)).unwrap();
        of.1.push(status.clone());
        status
    }

    pub fn answer(&mut self, op: Op, request: &Message) -> Message {
        let target = &request.first[1];
        let path = target.split('?').next().unwrap();
        let query = query(target);
        let most = query.get("per_page").map_or(30, |n| n.parse::<usize>().unwrap());
        // `/repos/acme/shop/deployments/ID/statuses`
        let id = path.split('/').nth(5).and_then(|id| id.parse::<u64>().ok());
        let is =
            |value: &Value, name: &str| query.get(name).is_none_or(|wanted| value[name] == json!(wanted));
        match op {
            Op::Deployments => {
                let fits = |d: &Value| ["environment", "task", "sha"].into_iter().all(|name| is(d, name));
                let all = self.deployments.iter().rev().map(|(d, _)| d).filter(|d| fits(d));
                answer(200, &all.take(most).cloned().collect())
            }
            Op::Deploy => {
                let body = request.json();
                if body["required_contexts"] != json!([]) || body["auto_merge"] != json!(false) {
                    return refusal(409, "Conflict: Commit status checks failed for main.");
                }
                if !well_described(&body) {
                    return invalid("Validation Failed");
                }
                if self.no_refs.iter().any(|name| body["ref"] == json!(name)) {
                    return invalid(&format!("No ref found for: {}", body["ref"]));
                }
                let fields = ["environment", "task", "payload", "description", "production_environment"];
                let mut kept: Value = fields.iter().map(|name| (*name, body[*name].clone())).collect();
                kept["ref"] = body["ref"].clone();
                kept["sha"] = body["ref"].clone();
                let id = self.add_deployment(kept);
                let (made, _) = self.deployments.last().unwrap();
                assert_eq!(made["id"], json!(id));
                answer(201, made)
            }
            Op::Statuses | Op::AddStatus => {
                let known =
                    self.deployments.iter().find(|(d, _)| Some(&d["id"]) == id.map(|i| json!(i)).as_ref());
                let Some((_, statuses)) = known else { return refusal(404, "Not Found") };
                if op == Op::Statuses {
                    return answer(200, &statuses.iter().rev().take(most).cloned().collect());
                }
                let body = request.json();
                if !STATES.contains(&body["state"].as_str().unwrap()) || !well_described(&body) {
                    return invalid("Validation Failed");
                }
                let mut fields = body.clone();
                fields.as_object_mut().unwrap().remove("auto_inactive");
                answer(201, &self.add_status(id.unwrap(), fields))
            }
            Op::Issues => {
                let wanted = query.get("labels").map(String::as_str).unwrap_or_default();
                let fits = |issue: &Value| {
                    let labels = issue["labels"].as_array().unwrap();
                    labels.iter().any(|label| label["name"] == json!(wanted))
                };
                let all = self.issues.iter().rev().map(|(issue, _)| issue).filter(|issue| fits(issue));
                answer(200, &all.take(most).cloned().collect())
            }
            Op::OpenIssue => {
                let body = request.json();
                if body["body"].as_str().unwrap().chars().count() > BODY_MAX {
                    return invalid("body is too long (maximum is 65536 characters)");
                }
                let number = self.issues.len() as u64 + 1;
                let labels: Vec<Value> =
                    body["labels"].as_array().unwrap().iter().map(|name| json!({"name": name})).collect();
                let fields = json!({
                    "number": number, "title": body["title"], "body": body["body"], "labels": labels,
                    "html_url": format!("https://github.com/acme/shop/issues/{number}"),
                });
                self.issues.push((laid_over(&self.examples[2], &json!({}), &fields), Vec::new()));
                answer(201, &self.issues.last().unwrap().0)
            }
            Op::Comments | Op::AddComment => {
                let known =
                    self.issues.iter_mut().find(|(i, _)| Some(&i["number"]) == id.map(|i| json!(i)).as_ref());
                let Some((_, comments)) = known else { return refusal(404, "Not Found") };
                if op == Op::Comments {
                    return answer(200, &comments.iter().take(most).cloned().collect());
                }
                let comment =
                    laid_over(&self.examples[3], &json!({}), &json!({"body": request.json()["body"]}));
                comments.push(comment.clone());
                answer(201, &comment)
            }
            Op::Approvals => {
                let review = |(login, state): &(String, String)| {
                    let mut review = self.examples[4][0].clone();
                    review["state"] = json!(state);
                    review["user"]["login"] = json!(login);
                    review
                };
                answer(200, &self.approvals.iter().map(review).collect())
            }
            _ => refusal(404, "Not Found"),
        }
    }
}

fn well_described(body: &Value) -> bool {
    body["description"].as_str().is_none_or(|text| text.chars().count() <= DESCRIPTION_MAX)
}

/// An example with other values in some of its fields.
fn laid_over(example: &Value, first: &Value, second: &Value) -> Value {
    let mut whole = example.clone();
    for over in [first, second] {
        for (name, value) in over.as_object().unwrap() {
            whole[name] = value.clone();
        }
    }
    whole
}
