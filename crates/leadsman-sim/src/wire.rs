//! The `audit.k8s.io/v1` Event as kube-apiserver writes it: Go struct order, `omitempty`, sorted maps.

use std::collections::BTreeMap;

use leadsman_domain::{Level, Stage};
use serde::Serialize;

use crate::json::Json;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event<'a> {
    pub(crate) kind: &'static str,
    pub(crate) api_version: &'static str,
    pub(crate) level: Level,
    #[serde(rename = "auditID")]
    pub(crate) audit_id: &'a str,
    pub(crate) stage: Stage,
    #[serde(rename = "requestURI")]
    pub(crate) request_uri: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) impersonated_user: Option<User<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) source_ips: &'a [&'a str],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object_ref: Option<ObjectRef<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_status: Option<&'a Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_object: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_object: Option<&'a Json>,
    pub(crate) request_received_timestamp: &'a str,
    pub(crate) stage_timestamp: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<&'static str, &'a str>,
}

/// `authentication.k8s.io/v1` UserInfo.
#[derive(Serialize, Default)]
pub(crate) struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) extra: BTreeMap<&'static str, [&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectRef<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) uid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) api_group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) api_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) resource_version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) subresource: &'a str,
}

/// `meta/v1` Status, reduced to what the audit code copies.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) metadata: ListMeta,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Details>,
    pub(crate) code: u16,
}

#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) group: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// Go writes the empty struct as `{}`; `omitempty` does not apply to it.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListMeta {}

impl Status {
    /// A plain success: nothing but the code.
    pub(crate) fn of(code: u16) -> Self {
        Self { metadata: ListMeta {}, status: "", message: String::new(), reason: "", details: None, code }
    }
}
