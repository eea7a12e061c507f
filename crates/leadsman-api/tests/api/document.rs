use std::collections::BTreeSet;

use serde_json::Value;

use crate::fake::{Fake, api, config, get};

fn document() -> Value {
    serde_json::from_str(&leadsman_api::openapi_json()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let items = document["paths"].as_object().unwrap().iter();
    items
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(m, o)| (format!("{m} {path}"), o)))
        .collect()
}

#[test]
fn it_is_openapi_3_1_in_a_stable_order() {
    assert_eq!(document()["openapi"], "3.1.0");
    assert_eq!(leadsman_api::openapi_json(), leadsman_api::openapi_json());
    assert!(leadsman_api::openapi_json().ends_with('}'));
}

#[test]
fn every_operation_has_id_tag_permission_and_problems() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{name}");
        assert!(operation["description"].as_str().unwrap().contains("Permission: `"), "{name}");
        let public = operation["description"].as_str().unwrap().contains("`public`");
        let responses = &operation["responses"];
        assert_eq!(responses["401"].is_null(), public, "{name}");
        assert_eq!(operation["security"][0]["bearer"].is_null(), public, "{name}");
        assert!(responses["500"].is_object(), "{name}");
        let problem = &responses["500"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{name}");
        if name.starts_with("post ") {
            for status in ["413", "415", "503"] {
                assert!(responses[status].is_object(), "{name} {status}");
            }
            assert!(operation["requestBody"]["content"].as_object().is_some_and(|c| !c.is_empty()), "{name}");
        }
        if name.contains("{id}") {
            assert!(responses["404"].is_object(), "{name}");
        }
    }
    assert_eq!(ids.len(), 16);
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str() {
                        Some(target) if key == "$ref" => {
                            out.insert(target.to_owned());
                        }
                        Some(_) | None => references(value, out),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, out)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    let mut targets = BTreeSet::new();
    references(&document, &mut targets);
    assert!(targets.len() > 20, "{targets:?}");
    for target in targets {
        assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
    }
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[tokio::test]
async fn the_server_shows_the_same_document() {
    let (api, _) = api(Fake::default(), config());
    assert_eq!(get(&api, "/openapi.json").await.json(), document());
}

#[tokio::test]
async fn the_wire_has_exactly_the_documented_fields() {
    let (api, _) = api(Fake::default(), config());
    let document = document();
    for (path, schema) in [
        ("/v1/findings/fnd_00000000000000000000000000000003", "Finding"),
        ("/v1/version", "Version"),
        ("/v1/jobs/job_00000000000000000000000000000007", "Job"),
    ] {
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let wire = names(&get(&api, path).await.json());
        assert_eq!(wire, names(&document["components"]["schemas"][schema]["properties"]), "{schema}");
    }
}
