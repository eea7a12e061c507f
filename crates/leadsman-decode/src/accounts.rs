//! Users that a request body puts to work: whom it binds, and whom its pods run as.

use std::borrow::Cow;

use leadsman_domain::Untrusted;

use crate::asked::{Asked, Kind, pod_specs};
use crate::body::{Value, elements, fields};

/// Most accounts that are taken from one body.
pub(crate) const MAX_ACCOUNTS: usize = 4;
/// Longest name that is taken: namespace, account and prefix of a service account, with room for users of a directory.
const MAX_ACCOUNT_NAME: usize = 512;

/// The accounts in a body; `namespace` is that of its object, and `created` whether the object is new.
pub(crate) fn of_body(asked: Asked<'_>, namespace: &str, created: bool) -> Box<[Untrusted]> {
    let mut found = Accounts { found: Vec::new(), namespace };
    match asked.kind {
        Kind::Pod => {
            asked.for_each_written(|written| pod_specs(written).into_iter().for_each(|spec| found.pod_spec(spec)));
        }
        Kind::Binding => asked.for_each_written(|written| found.binding(written)),
        Kind::Role | Kind::Service => {}
    }
    // The body is logged before the server fills in the account that a pod without one gets.
    if created && asked.kind == Kind::Pod && found.found.is_empty() {
        found.service_account(namespace, "default");
    }
    found.found.into()
}

struct Accounts<'n> {
    found: Vec<Untrusted>,
    /// Of the object, and so of the accounts it names without one.
    namespace: &'n str,
}

impl Accounts<'_> {
    fn account(&mut self, name: Cow<'_, str>) {
        let fits = !name.is_empty() && name.len() <= MAX_ACCOUNT_NAME && self.found.len() < MAX_ACCOUNTS;
        if fits && self.found.iter().all(|known| known.raw() != name) {
            self.found.push(Untrusted::new(name));
        }
    }

    fn service_account(&mut self, namespace: &str, name: &str) {
        if !namespace.is_empty() && !name.is_empty() {
            self.account(format!("system:serviceaccount:{namespace}:{name}").into());
        }
    }

    fn pod_spec(&mut self, spec: Option<Value<'_>>) {
        // The API server still takes the older name of the field, where the newer one is not given.
        let [name, alias] = fields(spec, &["serviceAccountName", "serviceAccount"]);
        let given = |name: &Value<'_>| name.text().is_some_and(|name| !name.is_empty());
        self.runs_as(name.filter(given).or(alias));
    }

    fn runs_as(&mut self, name: Option<Value<'_>>) {
        if let Some(name) = name.and_then(Value::text) {
            self.service_account(self.namespace, &name);
        }
    }

    fn binding(&mut self, body: Value<'_>) {
        let [subjects] = body.fields(&["subjects"]);
        for subject in elements(subjects) {
            self.subject(subject);
        }
    }

    fn subject(&mut self, subject: Value<'_>) {
        let [kind, name, namespace] = subject.fields(&["kind", "name", "namespace"]);
        let (Some(kind), Some(name)) = (kind.and_then(Value::text), name.and_then(Value::text)) else { return };
        match &*kind {
            "ServiceAccount" => {
                let namespace = namespace.and_then(Value::text).unwrap_or(Cow::Borrowed(self.namespace));
                self.service_account(&namespace, &name);
            }
            "User" => self.account(name),
            _ => {}
        }
    }
}
