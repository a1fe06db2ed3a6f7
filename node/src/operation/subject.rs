//! Whom an operation is about: its label `subject`. All that is stored of such an operation lies under that subject's
//! key, and so does what it calls. The label is in the clear, as all labels are.

use std::collections::BTreeMap;

use selvedge_cluster::actor::Refusal;
use selvedge_protocol::{IdError, SubjectId};

use crate::operation::record::Record;

/// The label.
pub(super) const LABEL: &str = "subject";

/// The subject of an operation.
pub(super) fn of(record: &Record) -> Option<SubjectId> {
    SubjectId::new(record.labels.get(LABEL)?).ok()
}

/// Whether the label, if it is there, names one.
pub(super) fn check(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let invalid = |error: IdError| Refusal::invalid("labels.subject", error.to_string());
    let subject = labels.get(LABEL).map(SubjectId::new).transpose();
    subject.map(drop).map_err(invalid)
}
