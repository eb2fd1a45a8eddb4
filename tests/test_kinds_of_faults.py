"""Every kind of fault that users reported, and the tests that hold it on each engine, or why none is needed.

The examples are in those tests; here it is seen that none of them has gone. Whether one holds its
kind, only who reads it can judge.
"""

import importlib
from typing import NamedTuple

import pytest

EVERY_FAULT = "tests.commands.test_every_fault"
DEPLOYMENT = "tests.flower.test_deployment"
OWNER = "tests.flower.test_owner"
USERS_IMAGES = "tests.flower.test_users_images"


class Held(NamedTuple):
    """Tests as ``module::function``, or why the kind cannot occur there."""

    local: tuple[str, ...] | str
    simulation: tuple[str, ...] | str
    supernode: tuple[str, ...] | str


def on_both(*tests):
    return tests, tests


def by_a_command(*tests):
    return tests, "a command of its own, which starts no engine"


SERVER_ONLY = "the run's folder, its checkpoint and its settings lie with the server"

KINDS = {
    "nobody owns a run's folder while it runs": Held(
        *on_both(f"{EVERY_FAULT}::test_a_run_of_a_name_that_is_going_on_is_refused_naming_the_process"),
        SERVER_ONLY,
    ),
    "a dead owner's lock is taken over": Held(
        *on_both("tests.run.test_folder_lock::test_a_dead_process_holds_nothing"), SERVER_ONLY
    ),
    "helpers delete or overwrite what they did not make": Held(
        *by_a_command(f"{EVERY_FAULT}::test_what_somebody_has_put_there_stays_and_is_named"),
        ("tests.commands.test_deploy::test_what_is_there_is_replaced_only_if_force_is_given",),
    ),
    "writers keep what was there": Held(
        *by_a_command(
            "tests.data.test_idx::test_a_folder_with_something_in_it_is_neither_replaced_nor_kept_silently",
            "tests.data.test_idx::test_twins_must_be_the_same",
            "tests.data.test_idx::test_a_label_that_does_not_fit_is_not_written_as_another",
        ),
        (
            "tests.commands.test_deploy::test_what_is_there_is_replaced_only_if_force_is_given",
            "tests.deployment.test_client_data::test_a_smaller_partition_leaves_no_client_of_a_larger_one",
        ),
    ),
    "identity by name instead of content": Held(
        *on_both(
            "tests.run.test_origin::test_a_file_may_be_moved_and_renamed_but_not_changed",
            "tests.run.test_refused_checkpoints::test_what_a_run_computes_from_is_known_by_content",
        ),
        ("tests.flower.test_owners_images::test_the_message_is_refused_until_the_owner_starts_anew",),
    ),
    "a quirk of the paper as a default for everybody": Held(
        *on_both(
            "tests.data.test_scenarios::test_a_scenario_has_no_cap_unless_it_is_written",
            "tests.data.test_population::test_what_no_client_holds_is_said",
        ),
        (f"{OWNER}::test_an_owner_has_its_images_and_holds_out_none_unless_told",),
    ),
    "the largest label taken for the set of labels": Held(
        *on_both(f"{EVERY_FAULT}::test_images_that_cannot_be_used_are_named"),
        (
            f"{OWNER}::test_labels_of_an_owner_may_count_from_one",
            f"{OWNER}::test_an_owner_that_lacks_the_last_classes_may_take_part",
        ),
    ),
    "loopback obeys proxies": Held(
        "both ends are in one process",
        (
            "tests.flower.test_superlink::test_a_superlink_on_this_machine_is_found_past_proxies",
            "tests.flower.test_superlink::test_children_reach_this_machine_past_proxies_and_others_as_before",
        ),
        ("tests.session.wire.test_endpoint::test_an_executor_on_this_machine_is_reached_past_proxies",),
    ),
    "settings checked too late or not at all": Held(
        (
            f"{EVERY_FAULT}::test_settings_are_checked_before_anything_starts",
            "tests.test_truth_values::test_no_setting_takes_a_truth_for_a_number",
        ),
        (
            f"{EVERY_FAULT}::test_settings_are_checked_before_anything_starts",
            f"{EVERY_FAULT}::test_what_flwr_run_says_is_checked_by_the_same_schema",
        ),
        (f"{OWNER}::test_a_node_config_that_cannot_be_meant_is_refused",),
    ),
    "files that are damaged": Held(
        (
            f"{USERS_IMAGES}::test_damaged_images_of_every_format_are_refused_by_their_place",
            "tests.data.formats.test_damaged::test_whatever_is_damaged_is_named_or_read",
            "tests.commands.test_sample::test_a_damaged_generator_is_named_in_one_line",
        ),
        (
            f"{USERS_IMAGES}::test_damaged_images_of_every_format_are_refused_by_their_place",
            "tests.flower.test_simulation::test_a_damaged_picture_is_named_in_one_line_before_any_client_loads_it",
        ),
        (
            f"{USERS_IMAGES}::test_damaged_images_of_every_format_are_refused_by_their_place",
            f"{DEPLOYMENT}::test_an_owner_whose_images_are_damaged_is_left_out_and_only_its_own_log_names_the_file",
        ),
    ),
    "YAML that means something else": Held(
        *on_both(
            f"{EVERY_FAULT}::test_yaml_that_means_something_else_is_refused_with_its_line",
            "tests.config.test_overrides::test_the_same_key_twice_in_a_command_is_refused_naming_both",
            "tests.config.test_overrides::test_a_mapping_adds_to_a_section_as_its_keys_do",
        ),
        "a node config is Flower's, and the run's settings arrive as TOML",
    ),
    "terminals as they are": Held(
        *on_both(
            "tests.run.test_terminal::test_somebody_who_stops_reading_ends_nothing",
            "tests.run.test_terminal::test_a_terminal_of_ascii_shows_what_it_can",
            "tests.run.test_terminal::test_a_note_is_shown_as_it_is",
            "tests.test_house::test_what_is_shown_goes_through_one_terminal",
            "tests.commands.test_deploy::test_data_is_written_though_nobody_reads_what_is_said",
        ),
        "it writes Flower's log, and nothing to a terminal of ours",
    ),
    "strings for other languages": Held(
        "paths pass through no other language",
        (
            f"{EVERY_FAULT}::test_a_path_may_have_any_characters_in_flowers_settings",
            "tests.flower.test_superlink::test_any_path_can_be_said_in_toml",
        ),
        (f"{OWNER}::test_paths_of_an_owner_are_as_a_person_would_guess",),
    ),
    "paths": Held(
        *on_both(
            "tests.data.test_scenarios::test_folders_are_found_as_a_person_would_guess",
            "tests.data.test_idx::test_a_folder_raw_that_has_nothing_to_do_with_it_hides_nothing",
            "tests.data.formats.test_choice::test_nothing_unrelated_hides_a_complete_folder",
            "tests.run.test_sampling::test_no_name_of_a_class_leads_out_of_the_output",
            "tests.data.test_domains::test_a_cache_that_has_the_set_need_not_be_writable",
            "tests.data.test_builtin::test_letters_need_no_cache_that_can_be_written",
        ),
        (f"{OWNER}::test_paths_of_an_owner_are_as_a_person_would_guess",),
    ),
    "names": Held(
        *on_both(f"{EVERY_FAULT}::test_settings_are_checked_before_anything_starts"),
        (f"{OWNER}::test_a_node_config_that_cannot_be_meant_is_refused",),
    ),
    "too much said": Held(
        (
            "tests.commands.test_errors::test_what_a_user_can_act_on_is_a_message",
            "tests.commands.test_run::test_a_taken_port_is_named_before_anything_starts",
        ),
        (
            "tests.flower.test_launch::test_why_a_run_ended_before_it_had_a_folder_is_one_line",
            "tests.flower.test_strategy::test_a_taken_port_is_named_before_anybody_is_asked",
        ),
        (f"{OWNER}::test_a_folder_without_images_is_named_in_the_owners_log",),
    ),
    "help": Held(
        *by_a_command(
            "tests.commands.test_main::test_every_argument_is_explained",
            "tests.commands.test_main::test_the_version_is_told",
            f"{EVERY_FAULT}::test_a_batch_that_cannot_be_normalised_is_refused_by_the_option",
        ),
        "Flower's own command starts it",
    ),
    "disk full": Held(
        *on_both(
            "tests.test_full_disk::test_what_cannot_be_written_is_named_and_nothing_is_left_of_it",
            f"{EVERY_FAULT}::test_on_a_full_disk_a_command_names_what_it_could_not_write_and_can_be_tried_again",
            "tests.commands.test_errors::test_a_run_that_has_failed_says_how_to_go_on_if_a_round_of_it_is_kept",
            "tests.run.test_run_log::test_a_full_disk_does_not_end_the_training",
            "tests.run.test_checkpoint::test_a_crash_while_saving_leaves_the_round_before",
        ),
        (f"{OWNER}::test_of_a_file_that_cannot_be_written_the_server_learns_no_name",),
    ),
}
"""By kind."""

NAMED = sorted(
    {test for held in KINDS.values() for place in held if not isinstance(place, str) for test in place}
)


@pytest.mark.parametrize("test", NAMED)
def test_the_tests_that_hold_them_are_there_and_are_run(test):
    """A test that is always skipped holds nothing."""
    module, name = test.split("::")
    found = getattr(importlib.import_module(module), name)
    assert callable(found)
    assert name.startswith("test_")
    assert not {mark.name for mark in getattr(found, "pytestmark", ())} & {"skip", "xfail"}
