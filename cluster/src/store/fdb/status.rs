//! What FoundationDB's status says of why it does not answer, for a person. Pure.

use serde_json::Value;

/// The reason, from the JSON that `fdbcli --exec "status json"` prints too; nothing may be known.
pub(super) fn reason(status: &[u8], coordinators: &[String]) -> String {
    let status: Value = serde_json::from_slice(status).unwrap_or(Value::Null);
    let at = |path: &str| status.pointer(path);
    if status.is_null() {
        return "it does not say why within ten seconds; see `fdbcli --exec status`".to_owned();
    }
    if at("/client/coordinators/quorum_reachable") == Some(&Value::Bool(false)) {
        let addresses = coordinators.join(", ");
        return format!(
            "most of its coordinators ({addresses}) cannot be reached; check that its servers run, and that they have the \
             same cluster file and TLS settings"
        );
    }
    if at("/cluster/database_lock_state/locked") == Some(&Value::Bool(true)) {
        return "the database is locked; when what locked it is done, `fdbcli --exec \"unlock UID\"` opens it".to_owned();
    }
    if let Some(limit) = text(at("/cluster/qos/performance_limited_by/name"))
        && limit.contains("free_space")
    {
        return format!(
            "the disks of its servers are full ({limit}), so it takes no more transactions; add storage, or free some"
        );
    }
    if let Some(name) = text(at("/cluster/recovery_state/name"))
        && !TAKES_COMMITS.contains(&name)
    {
        let description = text(at("/cluster/recovery_state/description")).unwrap_or_default();
        return format!("the database is recovering: {name}. {description}");
    }
    let messages = ["/client/messages", "/cluster/messages"].into_iter();
    let said: Vec<&str> = messages
        .filter_map(|path| at(path)?.as_array())
        .flatten()
        .filter_map(|message| text(message.get("description")))
        .collect();
    match said.is_empty() {
        true => "it gives no reason; see `fdbcli --exec status`".to_owned(),
        false => said.join(" "),
    }
}

/// Whether the database lets no transaction begin, from the JSON of its health metrics.
pub(super) fn admits_nothing(health: &[u8]) -> bool {
    let health: Value = serde_json::from_slice(health).unwrap_or(Value::Null);
    let limit = health.get("tps_limit").and_then(Value::as_f64);
    limit.is_some_and(|limit| limit <= 0.0)
}

/// What that means: FoundationDB's ratekeeper knows no other lasting reason.
pub(super) const FULL: &str = "it lets no transactions begin, as it does when the disks of its servers are full; add \
    storage, or free some; `fdbcli --exec status` says more";

fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str()
}

/// The states of a recovery in which the database takes commits, whatever is still to be done.
const TAKES_COMMITS: [&str; 4] = [
    "accepting_commits",
    "all_logs_recruited",
    "storage_recovered",
    "fully_recovered",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: &Value) -> String {
        reason(
            status.to_string().as_bytes(),
            &["127.0.0.1:4500".to_owned()],
        )
    }

    #[test]
    fn a_limit_of_nothing_is_told_from_others_and_from_none() {
        // As FoundationDB 7.3 says it.
        let full = br#"{"batch_limited":true,"limiting_storage_queue":0,"tps_limit":0,"worst_log_queue":17310}"#;
        assert!(admits_nothing(full));
        for other in [r#"{"tps_limit":120000.5}"#, "{}", ""] {
            assert!(!admits_nothing(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn reasons_name_what_is_wrong_and_the_remedy() {
        for nothing in ["", "{"] {
            let said = reason(nothing.as_bytes(), &[]);
            assert!(said.contains("does not say why"), "{said}");
        }
        let unreachable = br#"{"client":{"coordinators":{"quorum_reachable":false}}}"#;
        let coordinators = ["10.0.0.1:1".to_owned(), "10.0.0.2:1".to_owned()];
        let away = reason(unreachable, &coordinators);
        assert!(
            away.contains("coordinators (10.0.0.1:1, 10.0.0.2:1)"),
            "{away}"
        );
        let locked = json!({"cluster": {"database_lock_state": {"locked": true}}});
        assert!(said(&locked).contains("unlock"));
        // As a server says it that has just been started with a full disk.
        let full = json!({"cluster": {
            "recovery_state": {"name": "all_logs_recruited"},
            "qos": {"performance_limited_by": {"name": "log_server_min_free_space"}}}});
        assert!(said(&full).contains("full (log_server_min_free_space)"));
        let recovering = json!({"cluster": {"recovery_state": {
            "name": "recruiting_transaction_servers", "description": "Recruiting new transaction servers."}}});
        assert_eq!(
            said(&recovering),
            "the database is recovering: recruiting_transaction_servers. Recruiting new transaction servers."
        );
        let unreachable = json!({
            "client": {"messages": [{"name": "unreachable_cluster_controller",
                "description": "No response received from the cluster controller."}]},
            "cluster": {"recovery_state": {"name": "accepting_commits"}, "messages": []}});
        assert_eq!(
            said(&unreachable),
            "No response received from the cluster controller."
        );
        assert!(said(&json!({})).contains("fdbcli"));
    }
}
