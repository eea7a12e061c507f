use leadsman_domain::Timestamp;

use crate::agents::SHARED_SECRETS;
use crate::cluster::Cluster;
use crate::controllers::Controller;

/// An identity that was seen in a log, and how it usually appears there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// `user.username` of its events.
    pub username: String,
    /// `user.uid`; empty when its events have none.
    pub uid: String,
    /// `user.groups`.
    pub groups: Vec<String>,
    /// The address it usually comes from.
    pub source_ip: String,
    /// The program it usually uses.
    pub user_agent: String,
}

/// What there is in a cluster, for attacks to be about. Every list may be empty; pairs are namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terrain {
    /// Decides names and noise of what is staged here.
    pub seed: u64,
    /// Namespaces.
    pub namespaces: Vec<String>,
    /// Secrets.
    pub secrets: Vec<(String, String)>,
    /// Running pods.
    pub pods: Vec<(String, String)>,
    /// Service accounts.
    pub service_accounts: Vec<(String, String)>,
    /// Nodes.
    pub nodes: Vec<String>,
}

impl Cluster {
    /// What an intruder finds in the cluster at `at`.
    #[must_use]
    pub fn terrain(&self, at: Timestamp) -> Terrain {
        let pair = |ns: &str, name: &str| (ns.to_owned(), name.to_owned());
        let shared = self.estate.app_namespaces.iter().flat_map(|ns| SHARED_SECRETS.iter().map(|name| pair(ns, name)));
        let own = self.workloads().iter().map(|w| pair(w.namespace, &format!("{}-credentials", w.name)));
        let infra = [
            pair("argocd", "argocd-secret"),
            pair("velero", "cloud-credentials"),
            pair("monitoring", "prometheus-main"),
        ];
        let came = self.arrivals.agents.iter().filter(|(since, _)| *since <= at).map(|(_, agent)| agent);
        let agents: Vec<_> = self.agents.iter().chain(came).collect();
        let controllers = Controller::ALL.iter().map(|c| pair("kube-system", c.account()));
        let mut namespaces: Vec<_> = self.estate.namespaces.to_vec();
        namespaces.extend(agents.iter().map(|a| a.namespace));
        namespaces.sort_unstable();
        namespaces.dedup();
        Terrain {
            seed: self.seed,
            secrets: shared.chain(own).chain(infra).filter(|(ns, _)| namespaces.contains(&ns.as_str())).collect(),
            pods: agents.iter().map(|a| (a.namespace.to_owned(), a.place(self, at).0)).collect(),
            service_accounts: agents.iter().map(|a| pair(a.namespace, a.name)).chain(controllers).collect(),
            nodes: self.nodes.iter().map(|n| n.name.clone()).collect(),
            namespaces: namespaces.into_iter().map(str::to_owned).collect(),
        }
    }
}
