use std::collections::HashMap;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::options::{self as values, both_names};
use crate::run::{ApiKeySource, Options};
use crate::runtime::logging::{LogFormat, LogLevel};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Options, String> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let arguments = ["unstructured-operator", "run"]
        .iter()
        .chain(arguments)
        .map(OsString::from);
    match parse(arguments, |name| environment.get(name).map(OsString::from)) {
        Ok(Command::Run(options)) => Ok(*options),
        Ok(_) => panic!("that is not a command to run"),
        Err(Exit::Refused(line)) => Err(line),
        Err(other) => panic!("{other}"),
    }
}

fn variable(flag: &str) -> String {
    variable_of(flag).expect("every option of run has a variable")
}

fn run_flags() -> Vec<(String, String)> {
    let command = command();
    let run = command.find_subcommand("run").unwrap();
    let named = flags(run).into_iter().filter(|flag| flag != "help");
    named.map(|flag| (flag.clone(), variable(&flag))).collect()
}

fn refusal(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let line = run(arguments, environment).expect_err("it should be refused");
    assert!(!line.contains('\n'), "one line: {line}");
    line
}

fn told(arguments: &[&str]) -> String {
    let arguments = ["unstructured-operator"]
        .iter()
        .chain(arguments)
        .map(OsString::from);
    match parse(arguments, |_| None) {
        Err(Exit::Told(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_anything_the_defaults_hold() {
    let options = run(&[], &[]).unwrap();
    assert_eq!(
        options.api_url,
        "https://platform.unstructuredapp.io/api/v1"
    );
    assert!(options.api_key().is_none());
    assert_eq!(options.dropbox_api_url, "https://api.dropbox.com");
    assert!(options.validate_dropbox_credentials);
    assert_eq!(options.pinecone_api_url, "https://api.pinecone.io");
    assert!(options.validate_pinecone_credentials);
    assert!(!options.allow_insecure_http);
    assert_eq!(options.cluster_name, None);
    assert!(options.watch_namespaces.is_empty());
    assert_eq!(options.watch_label_selector, None);
    assert_eq!(options.sync_interval, Duration::from_mins(10));
    assert_eq!(options.request_timeout, Duration::from_secs(30));
    assert_eq!(options.settle_time(), Duration::from_mins(1));
    assert_eq!(options.max_requests_per_second.get(), 20);
    assert_eq!(options.max_concurrent_requests.get(), 16);
    assert_eq!(options.max_concurrent_reconciles.get(), 64);
    assert_eq!(options.max_inventory_memory, 256 << 20);
    assert!(options.leader_elect);
    assert_eq!(options.lease_name, "unstructured-operator");
    assert_eq!(options.listen, "[::]:8080".parse().unwrap());
    assert_eq!(options.log_level, LogLevel::default());
}

/// Each option: its flag, its variable, a value, and what it then is.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Options) -> bool,
);

const OPTIONS: &[Row] = &[
    (
        "--api-url",
        "UNSTRUCTURED_API_URL",
        "https://u.example/api",
        |o| o.api_url == "https://u.example/api",
    ),
    (
        "--api-key-file",
        "UNSTRUCTURED_API_KEY_FILE",
        "/key",
        |o| matches!(o.api_key(), Some(ApiKeySource::File(path)) if path.as_os_str() == "/key"),
    ),
    (
        "--dropbox-api-url",
        "DROPBOX_API_URL",
        "https://d.example",
        |o| o.dropbox_api_url == "https://d.example",
    ),
    (
        "--validate-dropbox-credentials",
        "VALIDATE_DROPBOX_CREDENTIALS",
        "false",
        |o| !o.validate_dropbox_credentials,
    ),
    (
        "--pinecone-api-url",
        "PINECONE_API_URL",
        "https://p.example",
        |o| o.pinecone_api_url == "https://p.example",
    ),
    (
        "--validate-pinecone-credentials",
        "VALIDATE_PINECONE_CREDENTIALS",
        "false",
        |o| !o.validate_pinecone_credentials,
    ),
    (
        "--allow-insecure-http",
        "ALLOW_INSECURE_HTTP",
        "true",
        |o| o.allow_insecure_http,
    ),
    ("--cluster-name", "CLUSTER_NAME", "prod-1", |o| {
        o.cluster_name.as_deref() == Some("prod-1")
    }),
    (
        "--allowed-api-hosts",
        "ALLOWED_API_HOSTS",
        "api.a.example, *.b.example",
        |o| o.allowed_api_hosts.len() == 2,
    ),
    (
        "--watch-namespaces",
        "WATCH_NAMESPACES",
        "legal, sales,it",
        |o| o.watch_namespaces == ["legal", "sales", "it"],
    ),
    (
        "--watch-label-selector",
        "WATCH_LABEL_SELECTOR",
        "shard=1,tier in (a, b),!x",
        |o| o.watch_label_selector.as_deref() == Some("shard=1,tier in (a, b),!x"),
    ),
    ("--sync-interval", "SYNC_INTERVAL", "1h 30m", |o| {
        o.sync_interval == Duration::from_mins(90)
    }),
    ("--job-interval", "JOB_INTERVAL", "30s", |o| {
        o.job_interval == Duration::from_secs(30)
    }),
    ("--request-timeout", "REQUEST_TIMEOUT", "5s", |o| {
        o.request_timeout == Duration::from_secs(5) && o.settle_time() == Duration::from_secs(10)
    }),
    ("--settle-time", "SETTLE_TIME", "31s", |o| {
        o.settle_time() == Duration::from_secs(31)
    }),
    (
        "--max-requests-per-second",
        "MAX_REQUESTS_PER_SECOND",
        "1",
        |o| o.max_requests_per_second.get() == 1,
    ),
    (
        "--max-concurrent-requests",
        "MAX_CONCURRENT_REQUESTS",
        "2",
        |o| o.max_concurrent_requests.get() == 2,
    ),
    (
        "--max-concurrent-reconciles",
        "MAX_CONCURRENT_RECONCILES",
        "3",
        |o| o.max_concurrent_reconciles.get() == 3,
    ),
    (
        "--max-inventory-memory",
        "MAX_INVENTORY_MEMORY",
        "1Gi",
        |o| o.max_inventory_memory == 1 << 30,
    ),
    ("--leader-elect", "LEADER_ELECT", "false", |o| {
        !o.leader_elect
    }),
    ("--lease-name", "LEASE_NAME", "shard-1", |o| {
        o.lease_name == "shard-1"
    }),
    ("--listen", "LISTEN", "127.0.0.1:9", |o| {
        o.listen.port() == 9
    }),
    ("--log-format", "LOG_FORMAT", "json", |o| {
        o.log_format == LogFormat::Json
    }),
    ("--log-format", "LOG_FORMAT", "text", |o| {
        o.log_format == LogFormat::Text
    }),
    (
        "--log-level",
        "LOG_LEVEL",
        "warn,unstructured_operator=debug",
        |o| o.log_level.to_string() == "warn,unstructured_operator=debug",
    ),
    (
        "--otlp-endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://collector:4318/",
        |o| traces(o).as_deref() == Some("http://collector:4318/v1/traces"),
    ),
];

fn traces(options: &Options) -> Option<String> {
    let endpoint = options.traces_endpoint().unwrap();
    endpoint.map(|url| url.to_string())
}

#[test]
fn the_collector_of_traces_alone_comes_before_that_of_all_signals_and_is_taken_to_the_letter() {
    assert_eq!(traces(&run(&[], &[]).unwrap()), None);
    let both = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        (TRACES_ENDPOINT, "https://traces.example/ingest"),
    ];
    let options = run(&[], &both).unwrap();
    assert_eq!(
        traces(&options).as_deref(),
        Some("https://traces.example/ingest")
    );
    let line = refusal(
        &[],
        &[(TRACES_ENDPOINT, "https://user:hunter2@traces.example")],
    );
    assert!(line.starts_with(TRACES_ENDPOINT), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
    let line = refusal(&["--otlp-endpoint=collector:4318"], &[]);
    assert!(
        line.contains("--otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)"),
        "{line}"
    );
}

#[test]
fn every_option_is_a_flag_and_a_variable() {
    for (flag, variable, value, holds) in OPTIONS {
        assert!(
            holds(&run(&[&format!("{flag}={value}")], &[]).unwrap()),
            "{flag}"
        );
        assert!(
            holds(&run(&[], &[(variable, value)]).unwrap()),
            "{variable}"
        );
    }
    let tested: Vec<_> = OPTIONS
        .iter()
        .map(|(flag, variable, ..)| (*flag, *variable))
        .collect();
    for (flag, variable) in run_flags() {
        assert!(
            tested.contains(&(&*format!("--{flag}"), &*variable)),
            "{flag} is in the table"
        );
    }
}

#[test]
fn a_flag_wins_over_its_variable_even_a_bad_one_and_an_empty_variable_is_unset() {
    let environment = [("SYNC_INTERVAL", "never")];
    for arguments in [&["--sync-interval=7m"][..], &["--sync-interval", "7m"]] {
        assert_eq!(
            run(arguments, &environment).unwrap().sync_interval,
            Duration::from_mins(7)
        );
    }
    let empty: Vec<_> = OPTIONS
        .iter()
        .map(|(_, variable, ..)| (*variable, ""))
        .collect();
    assert!(run(&[], &empty).unwrap().api_key().is_none());
}

#[test]
fn a_switch_without_a_value_is_on() {
    let options = run(
        &["--allow-insecure-http", "--leader-elect"],
        &[("LEADER_ELECT", "false")],
    )
    .unwrap();
    assert!(options.allow_insecure_http && options.leader_elect);
}

#[test]
fn the_api_key_comes_from_the_environment_and_shows_nowhere() {
    let options = run(&[], &[(API_KEY, " sk-123\n")]).unwrap();
    let Some(ApiKeySource::Value(key)) = options.api_key() else {
        panic!("a key was given")
    };
    assert_eq!(key.expose_secret(), "sk-123");
    assert!(!format!("{options:?}").contains("sk-123"));
    for arguments in [
        &["--api-key=sk-123"][..],
        &["--api-key", "sk-123"],
        &["sk-123"],
    ] {
        assert!(!refusal(arguments, &[]).contains("sk-123"));
    }
}

#[test]
fn every_bad_value_is_one_line_that_names_flag_or_variable() {
    let rows: &[(&str, &str, &str)] = &[
        (
            "api-url",
            "platform",
            "this is not a complete URL; write it as https://<host>, with a port or path where the service has one",
        ),
        ("api-url", "ftp://host", "the URL must start with https://"),
        (
            "api-url",
            "https://me:hunter2@host",
            "the URL must not contain a user name or password; remove everything before the @",
        ),
        (
            "dropbox-api-url",
            "https://host/?a=b",
            "the URL must not contain a query or fragment; remove everything from the first ? or #",
        ),
        (
            "validate-dropbox-credentials",
            "maybe",
            "give true or false",
        ),
        ("allow-insecure-http", "maybe", "give true or false"),
        ("leader-elect", "maybe", "give true or false"),
        (
            "cluster-name",
            "Prod",
            "must be 1 to 40 lower-case letters, digits or hyphens, with a letter or digit at either end",
        ),
        (
            "watch-namespaces",
            "a,,b",
            "must be namespace names separated by commas",
        ),
        (
            "watch-label-selector",
            "a in b",
            "is not a label selector: write it like shard=1, tier in (a,b), !legacy",
        ),
        (
            "sync-interval",
            "5",
            "is not a duration: write it like 30s or 10m",
        ),
        ("sync-interval", "0s", "must be longer than zero"),
        ("request-timeout", "5s ago", "must not be negative"),
        ("settle-time", "9999h", "must be at most a week (168h)"),
        (
            "max-requests-per-second",
            "0",
            "must be a whole number from 1 to 4294967295",
        ),
        (
            "max-concurrent-requests",
            "1.5",
            "must be a whole number from 1 to 4294967295",
        ),
        (
            "max-concurrent-reconciles",
            "-1",
            "must be a whole number from 1 to 4294967295",
        ),
        (
            "listen",
            "8080",
            "is not an address and port: write it like [::]:8080 or 127.0.0.1:8080",
        ),
        ("log-format", "xml", "give json or text"),
        (
            "log-level",
            "loud",
            "give off, error, warn, info, debug or trace, or directives like info,unstructured_operator=debug",
        ),
    ];
    for (flag, value, reason) in rows {
        let by_flag = refusal(&[&format!("--{flag}={value}")], &[]);
        let by_variable = refusal(&[], &[(&variable(flag), value)]);
        if flag.ends_with("api-url") {
            // Known to be wrong only in the light of --allow-insecure-http.
            assert_eq!(by_flag, format!("{}: {reason}", both_names(flag)));
            assert_eq!(by_variable, by_flag);
        } else {
            assert_eq!(by_flag, format!("--{flag}: {reason}"));
            assert_eq!(by_variable, format!("{}: {reason}", variable(flag)));
        }
    }
}

#[test]
fn every_bad_combination_is_one_line() {
    assert_eq!(
        refusal(&["--api-key-file=/key"], &[(API_KEY, "sk-123")]),
        "UNSTRUCTURED_API_KEY and --api-key-file (UNSTRUCTURED_API_KEY_FILE) are both set: keep one"
    );
    for arguments in [
        &["--settle-time=30s"][..],
        &["--request-timeout=2m", "--settle-time=90s"],
    ] {
        assert_eq!(
            refusal(arguments, &[]),
            "--settle-time (SETTLE_TIME) must be longer than --request-timeout (REQUEST_TIMEOUT), \
             or a create still under way is taken for one that failed"
        );
    }
    for flag in ["api-url", "dropbox-api-url"] {
        let argument = format!("--{flag}=http://host");
        assert_eq!(
            refusal(&[&argument], &[]),
            format!(
                "{}: the URL starts with http://, which sends credentials in clear text; use https://, or set --allow-insecure-http",
                both_names(flag)
            )
        );
        assert!(run(&[&argument, "--allow-insecure-http"], &[]).is_ok());
    }
}

#[test]
fn a_command_line_that_is_not_understood_is_one_line() {
    let unexpected = "unexpected argument: only options are taken, see --help";
    let rows: &[(&[&str], &str)] = &[
        (
            &["run", "--frobnicate=1"],
            "--frobnicate: unknown option, see --help",
        ),
        (&["run", "extra"], unexpected),
        (&["run", "-x"], unexpected),
        (
            &["crd", "--listen=x"],
            "--listen: unknown option, see --help",
        ),
        (
            &["begin"],
            "unknown command: give run, crd, login dropbox, doctor, import, start, follow, uninstall, completions or man, see --help",
        ),
        (&["--listen=[::]:1"], NO_COMMAND),
        (&["-x"], NO_COMMAND),
        (
            &["run", "--listen=[::]:1", "--listen=[::]:2"],
            "--listen: given more than once",
        ),
        (
            &["login", "dropbox", "--apply", "--output", "."],
            "--apply cannot be given together with --output",
        ),
        (&["start"], "<WORKFLOW> is missing, see --help"),
        (
            &["start", "flow", "--on-active", "Stop"],
            "--on-active: give Wait, Adopt or Fail",
        ),
        (
            &["start", "flow", "--timeout", "2 hours"],
            "--timeout: is not a duration: write it like 90s, 30m or 2h",
        ),
        (
            &["start", "flow", "-n", "a,b"],
            "--namespace: must be the name of one namespace: lower-case letters, digits and hyphens, with a letter or digit at either end",
        ),
        (
            &["doctor", "Bad_Name"],
            "[NAME]: must be a Kubernetes name: lower-case letters, digits, hyphens and dots, with a letter or digit at either end",
        ),
        (
            &["follow", "Bad_Name"],
            "<JOB>: must be a Kubernetes name: lower-case letters, digits, hyphens and dots, with a letter or digit at either end",
        ),
        (
            &["doctor", "-A", "contracts"],
            "--all-namespaces cannot be given together with [NAME]",
        ),
        (
            &["completions", "tcsh"],
            "<SHELL>: give bash, elvish, fish, powershell or zsh",
        ),
        (&["follow"], "<JOB> is missing, see --help"),
        (&["man"], "<DIRECTORY> is missing, see --help"),
        (&["completions"], "<SHELL> is missing, see --help"),
        (
            &["login", "dropbox", "--secret-only"],
            "--name is missing, see --help",
        ),
        (
            &["run", "--sync-interval"],
            "--sync-interval: needs a value",
        ),
    ];
    for (arguments, line) in rows {
        let Err(Exit::Refused(said)) = parsed(arguments, &[]) else {
            panic!("{arguments:?} is taken")
        };
        assert_eq!(said, *line, "{arguments:?}");
    }
}

#[test]
fn the_name_alone_runs_nothing_and_prints_the_help() {
    let environment = [("LISTEN", "127.0.0.1:9"), ("SYNC_INTERVAL", "soon")];
    for arguments in [&[][..], &["help"]] {
        let Err(Exit::Told(help)) = parsed(arguments, &environment) else {
            panic!("{arguments:?}")
        };
        assert_eq!(help, told(&["--help"]), "{arguments:?}");
    }
    let Err(Exit::Told(help)) = parsed(&["login"], &environment) else {
        panic!("login")
    };
    assert!(help.contains("dropbox"), "{help}");
    assert_eq!(
        told(&["help", "login", "dropbox"]),
        told(&["login", "dropbox", "--help"])
    );
}

#[test]
fn crd_needs_no_environment_and_minds_no_bad_one() {
    let parsed = parse(["unstructured-operator", "crd"].map(OsString::from), |_| {
        Some("bad".into())
    });
    assert!(matches!(parsed, Ok(Command::Crd)));
}

#[test]
fn help_names_every_flag_with_its_variable_and_the_version_is_told() {
    let help = told(&["run", "--help"]);
    for (flag, variable) in run_flags() {
        assert!(help.contains(&format!("--{flag}")), "{flag}");
        assert!(help.contains(&format!("[env: {variable}]")), "{variable}");
    }
    assert!(help.contains(API_KEY));
    assert!(told(&["--help"]).contains("crd"));
    assert!(told(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn label_selectors_are_taken_as_the_api_server_takes_them() {
    for good in [
        "a",
        "!a",
        "a=b",
        "a==b",
        "a!=b",
        "a=",
        "x.io/a=b",
        "a in (b)",
        "a notin (b,c)",
        "a in (b, c), d",
        "A_1.x-y=Z",
    ] {
        assert!(values::label_selector(good).is_ok(), "{good}");
    }
    for bad in [
        "", ",", "a,", "a b", "a in", "a in ()x", "in (b)", "a in (b", "a of (b)", "=b", "a=b=c",
        "-a", "a=-b", "/a", "X.io/a", "a=b c", "a>1x",
    ] {
        assert!(values::label_selector(bad).is_err(), "{bad}");
    }
}

#[test]
fn cluster_names_are_dns_labels_of_at_most_forty_characters() {
    for good in ["a", "0", "prod-1", &"x".repeat(40)] {
        assert!(values::cluster_name(good).is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "a.b", "A", "ä", &"x".repeat(41)] {
        assert!(values::cluster_name(bad).is_err(), "{bad}");
    }
}

fn parsed(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, Exit> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let arguments = ["unstructured-operator"].iter().chain(arguments);
    parse(arguments.map(OsString::from), |name| {
        environment.get(name).map(OsString::from)
    })
}

#[test]
fn the_commands_of_a_person_take_the_same_variables_and_names_only_as_flags() {
    let environment = [
        ("UNSTRUCTURED_API_URL", "https://u.example"),
        ("UNSTRUCTURED_API_KEY", "key-1"),
        ("DROPBOX_API_URL", "https://d.example"),
        ("DROPBOX_APP_KEY", "abc"),
        ("DROPBOX_APP_SECRET", "hidden-1"),
        ("DROPBOX_CODE", "hidden-2"),
        ("NAME", "Not A Name"),
        ("NAMESPACE", "Not A Name"),
        ("OUTPUT", "/nowhere"),
        ("CONTEXT", "c"),
    ];
    for arguments in [
        &["login", "dropbox"][..],
        &["doctor"],
        &["doctor", "contracts", "-n", "legal", "-o", "json"],
        &["import"],
        &["start", "flow", "--on-active=adopt", "--timeout=1h30m"],
        &["follow", "flow-x7k2p"],
    ] {
        let parsed = parsed(arguments, &environment).unwrap();
        let shown = format!("{parsed:?}");
        assert!(
            !shown.contains("hidden-") && !shown.contains("key-1"),
            "{shown}"
        );
        assert!(!shown.contains("nowhere"), "{shown}");
    }
}

#[test]
fn a_secret_has_no_flag() {
    for arguments in [
        &["login", "dropbox", "--app-secret=hunter2"][..],
        &["login", "dropbox", "--code=hunter2"],
        &["doctor", "--api-key=hunter2"],
    ] {
        let Err(Exit::Refused(line)) = parsed(arguments, &[]) else {
            panic!("{arguments:?} is taken")
        };
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn help_is_readable_at_eighty_columns() {
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["login", "dropbox", "--help"],
        &["login", "dropbox", "-h"],
        &["doctor", "--help"],
        &["import", "--help"],
        &["start", "--help"],
        &["follow", "--help"],
        &["uninstall", "--help"],
    ] {
        for line in told(arguments).lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
}

#[test]
fn every_command_has_help_completions_and_a_man_page() {
    for arguments in [
        &["login", "--help"][..],
        &["login", "dropbox", "--help"],
        &["doctor", "--help"],
        &["import", "--help"],
        &["start", "--help"],
        &["follow", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
    ] {
        let Err(Exit::Told(help)) = parsed(arguments, &[]) else {
            panic!("{arguments:?}")
        };
        assert!(help.contains("Usage"), "{help}");
    }
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man1");
    man(command(), &pages).unwrap();
    for page in [
        "unstructured-operator-login-dropbox.1",
        "unstructured-operator-doctor.1",
        "unstructured-operator-man.1",
    ] {
        assert!(pages.join(page).exists(), "{page}");
    }
}
