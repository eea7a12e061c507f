//! A seeded Kubernetes cluster: benign traffic and labelled attacks.
