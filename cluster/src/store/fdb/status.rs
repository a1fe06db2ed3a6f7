//! What FoundationDB's status says of why it does not answer, for a person. Pure.

use serde_json::Value;

/// The reason, from the JSON that `fdbcli --exec "status json"` prints too; nothing may be known.
pub(super) fn reason(status: &[u8], coordinators: &[String]) -> String {
    let status: Value = serde_json::from_slice(status).unwrap_or(Value::Null);
    let at = |path: &str| status.pointer(path);
    if at("/client/coordinators/quorum_reachable") == Some(&Value::Bool(false)) || status.is_null()
    {
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
        return "the disks of its storage servers are full, so it takes no more transactions; add storage, or free some"
            .to_owned();
    }
    if let Some(name) = text(at("/cluster/recovery_state/name"))
        && name != "fully_recovered"
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

fn text(value: Option<&Value>) -> Option<&str> {
    value?.as_str()
}

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
    fn reasons_name_what_is_wrong_and_the_remedy() {
        for status in [
            b"".as_slice(),
            b"{",
            br#"{"client":{"coordinators":{"quorum_reachable":false}}}"#,
        ] {
            let said = reason(status, &["10.0.0.1:1".to_owned(), "10.0.0.2:1".to_owned()]);
            assert!(
                said.contains("coordinators (10.0.0.1:1, 10.0.0.2:1)"),
                "{said}"
            );
        }
        let locked = json!({"cluster": {"database_lock_state": {"locked": true}}});
        assert!(said(&locked).contains("unlock"));
        let full = json!({"cluster": {"qos": {"performance_limited_by":
            {"name": "storage_server_min_free_space"}}}});
        assert!(said(&full).contains("full"));
        let recovering = json!({"cluster": {"recovery_state": {
            "name": "recruiting_transaction_servers", "description": "Recruiting new transaction servers."}}});
        assert_eq!(
            said(&recovering),
            "the database is recovering: recruiting_transaction_servers. Recruiting new transaction servers."
        );
        let unreachable = json!({
            "client": {"messages": [{"name": "unreachable_cluster_controller",
                "description": "No response received from the cluster controller."}]},
            "cluster": {"recovery_state": {"name": "fully_recovered"}, "messages": []}});
        assert_eq!(
            said(&unreachable),
            "No response received from the cluster controller."
        );
        assert!(said(&json!({})).contains("fdbcli"));
    }
}
