use std::collections::BTreeSet;

use super::*;

/// Every operation of the OpenAPI document, which comes from the routes themselves.
fn documented() -> BTreeSet<(String, String)> {
    let document: serde_json::Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    let mut out = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            out.insert((method.to_uppercase(), path.clone()));
        }
    }
    out
}

#[test]
fn every_route_declares_a_permission() {
    let declared: BTreeSet<_> = OPERATIONS.iter().map(|o| (o.method.to_string(), o.path.to_owned())).collect();
    assert_eq!(declared.len(), OPERATIONS.len(), "an operation is listed twice");
    assert_eq!(documented(), declared);
}

#[test]
fn only_what_holds_no_data_is_public() {
    let public: Vec<_> = OPERATIONS.iter().filter(|o| o.permission == Permission::Public).map(|o| o.path).collect();
    assert_eq!(public, ["/livez", "/readyz", "/openapi.json"]);
}

#[test]
fn head_counts_as_get() {
    assert!(operation(&Method::HEAD, "/v1/findings").is_some());
    assert!(operation(&Method::DELETE, "/v1/findings").is_none());
    assert_eq!(allowed_methods("/v1/jobs"), "GET, HEAD, POST");
}
