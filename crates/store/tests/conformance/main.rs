//! One suite, run on both databases: what the store promises must not depend on which it is.
//!
//! A test that stands in the list below is written once, against a [`backend::Backend`]. What only
//! one database can show (two writers in one transaction's time, pragmas, lost connections) stands
//! in `sqlite` and `postgres`.

#[cfg(test)]
mod api_keys;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod backend;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod fake_server;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod lockdowns;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod people;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod profit;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod safety;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod source_keys;
#[cfg(test)]
mod sqlite;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod values;
#[cfg(test)]
mod webhook_secrets;

#[cfg(test)]
macro_rules! on_both {
    ($($module:ident::$test:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                let backend = crate::backend::Backend::sqlite();
                crate::$module::$test(&backend).await;
                backend.remove().await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                let backend = crate::backend::Backend::postgres().await;
                crate::$module::$test(&backend).await;
                backend.remove().await;
            })*
        }
    };
}

// A macro because a test needs a name of its own on each database.
#[cfg(test)]
on_both! {
    schema::an_empty_database_is_migrated_once,
    schema::a_newer_schema_is_refused,
    schema::every_statement_is_understood,
    schema::a_wrong_statement_is_seen,
    transactions::what_is_rolled_back_is_gone,
    transactions::what_is_dropped_is_gone,
    transactions::a_dropped_writer_leaves_nothing,
    transactions::what_is_committed_outlives_its_connections,
    transactions::a_failed_statement_fails_the_commit,
    transactions::the_kinds_of_failure_are_the_same,
    transactions::readers_see_only_what_is_committed,
    changes::they_are_heard_in_the_order_of_their_commits,
    changes::what_is_undone_or_unheard_is_no_change,
    changes::who_is_too_far_behind_reads_everything,
    cancel::a_future_dropped_midway_leaves_all_or_nothing,
    idempotency::a_key_belongs_to_its_first_request,
    idempotency::answers_are_forgotten_and_orders_are_not,
    webhook_secrets::one_secret_before_is_kept,
    keys::a_key_is_claimed_once,
    keys::an_expired_key_changes_hands,
    keys::old_keys_are_forgotten,
    orders::an_order_comes_back_as_it_was_put,
    orders::a_changed_order_keeps_what_never_changes,
    orders::only_live_orders_are_work,
    orders::live_orders_are_read_by_organization,
    orders::nobodys_legs_are_out_of_sight,
    orders::live_orders_are_counted_by_source,
    orders::pages_go_back_in_time,
    orders::a_fill_counts_once,
    orders::fills_come_back_in_their_order,
    rows::any_number_of_rows_is_the_same_rows,
    rows::returned_rows_are_those_that_were_written,
    rows::half_a_row_is_refused,
    profit::the_newest_rate_of_a_pair_stands,
    profit::the_newest_close_of_an_instrument_stands,
    profit::marks_come_back_in_their_order,
    profit::equities_come_back_in_their_order,
    profit::watches_of_losses_come_back,
    profit::recent_entries_come_back,
    values::extreme_numbers_come_back,
    values::large_texts_and_bytes_come_back,
    values::every_letter_but_nul_comes_back,
    values::nul_in_a_text_is_refused_and_nothing_else_happens,
    values::what_cannot_be_read_is_an_error,
    audit::entries_wait_for_their_places,
    audit::the_head_moves_only_from_where_it_is,
    audit::an_incarnation_begins_once_and_the_one_before_is_kept,
    audit::a_place_is_given_once,
    audit::a_run_has_an_end,
    audit::tiles_grow,
    leases::a_lease_has_one_holder,
    directory::accounts_and_their_instruments,
    directory::past_days_come_back_in_their_order,
    directory::webhooks_and_strategies,
    directory::what_is_changed_and_taken_away,
    policies::limits_have_the_version_of_their_organization,
    policies::every_version_can_be_read_for_ever,
    directory::a_halt_is_resumed_once,
    directory::findings_are_newest_first,
    directory::data_keys_are_written_once,
    safety::a_halt_tells_how_far_it_is,
    safety::a_roll_stands_until_it_has_ended,
    lockdowns::one_lockdown_is_in_force,
    lockdowns::a_lockdowns_steps_count_and_find_what_is_left,
    safety::a_switch_fires_once_for_each_renewal,
    safety::alerts_are_due_until_they_are_acknowledged,
    safety::a_channel_remembers_its_last_test,
    outbox::a_message_is_claimed_by_one_and_ends_once,
    outbox::messages_are_counted_until_they_are_forgotten,
    outbox::a_request_for_a_link_is_taken_once,
    people::people_and_their_roles,
    people::a_code_is_taken_once,
    people::sessions_and_their_tokens,
    people::a_challenge_is_taken_once,
    people::a_challenge_is_looked_at_and_extended,
    people::an_action_is_decided_once,
    source_keys::a_version_is_entered_once,
    people::a_new_key_retires_the_others,
    api_keys::a_key_comes_back_as_it_was_made,
    api_keys::a_revoked_key_stays_revoked,
    api_keys::only_a_newer_use_is_noted,
    api_keys::a_nonce_is_taken_once,
    api_keys::uses_add_up_by_the_hour,
    api_keys::each_node_keeps_its_own_day,
    api_keys::a_finding_is_found_again,
}
