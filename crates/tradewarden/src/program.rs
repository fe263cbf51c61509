//! The program: from the command line to an exit code.

use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use serde_json::json;
use tokio::runtime::Builder;
use tradewarden_domain::person::{BuiltInRole, Profile};
use tradewarden_engine::command::{Command, UserCreate};

use crate::cli::{
    self, Asking, BenchVerb, Cli, ConfigVerb, Global, HaltVerb, LimitVerb, LockdownVerb, Shape,
    SignalVerb, Verb,
};
use crate::clock::SystemClock;
use crate::config::{Config, DATA_DEFAULT, LogFormat, LogLevel, Overrides, SourceKind};
use crate::outcome::{Exit, Failure};
use crate::{
    audit, bench, commands, config, core_dumps, db, demo, doctor, gateway, halt, internal_clients,
    keys, lockdown, logs, output, paper, pins, policy, replay, serve, sign, vault,
};

/// What a thread of the runtime has: a command that carries out another one, as a confirmation does, lies
/// on it twice. Only what is used of it costs memory.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How long threads of the runtime may take to end after the work is done.
const RUNTIME_END: Duration = Duration::from_secs(2);

/// Does what the command line says.
pub(crate) fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are no errors, though clap hands them over as such.
            if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                let failure = Failure::usage(error.render().to_string().trim_end());
                output::complain(&failure, true);
                return failure.exit;
            }
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _nobody_reads_it = error.print();
            return exit;
        }
    };
    let json = cli.global.json;
    match core_dumps::switch_off().and_then(|()| act(cli)) {
        Ok(exit) => exit,
        Err(failure) => {
            output::complain(&failure, json);
            failure.exit
        }
    }
}

fn act(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, verb } = cli;
    match verb {
        Verb::Completions { shell } => completions(shell),
        Verb::CliReference => done(output::print(&cli::reference())),
        Verb::Config(ConfigVerb::Reference) => done(output::print(&config::reference())),
        Verb::Config(verb) => configuration(&global, &verb),
        Verb::Doctor => {
            logs::begin(LogFormat::Text, LogLevel::Error);
            runtime(doctor::run(load(&global, None, DATA_DEFAULT), global.json))
        }
        Verb::Sign(asked) => sign::run(&asked, global.json),
        Verb::Serve(listen) => {
            let config = load(&global, Some(&listen), DATA_DEFAULT)?;
            logs::begin(config.log, config.log_level);
            on_runtime(serve::run(&config, global.json))
        }
        Verb::Demo(listen) => {
            let config = load(&global, Some(&listen), demo::DATA_DEFAULT)?;
            // The walk is what people should see; what goes wrong still shows.
            logs::begin(config.log, config.log_level.at_most_for_demo());
            on_runtime(demo::run(&config, global.json))
        }
        Verb::Bench(verb) => {
            let config = load(&global, None, bench::DATA_DEFAULT)?;
            logs::begin(LogFormat::Text, LogLevel::Error);
            match verb {
                BenchVerb::Intake(asked) => {
                    on_runtime(bench::intake(bench::anywhere(config), asked, global.json))
                }
                BenchVerb::Halt(asked) => {
                    on_runtime(bench::halt::run(bench::anywhere(config), asked, global.json))
                }
                BenchVerb::Keys(asked) => on_runtime(bench::keys::keys(config, asked, global.json)),
                BenchVerb::Start(asked) => {
                    on_runtime(bench::keys::start(config, asked, global.json))
                }
                BenchVerb::Tls(asked) => {
                    on_runtime(bench::tls::run(bench::anywhere(config), asked, global.json))
                }
                BenchVerb::Risk => done(bench::risk::run(global.json)),
                BenchVerb::Vault => on_runtime(bench::vault::run(global.json)),
                BenchVerb::Loaded { keys, webhooks } => {
                    on_runtime(bench::loaded::run(&bench::anywhere(config), keys, webhooks))
                }
            }
        }
        verb => {
            let config = load(&global, None, DATA_DEFAULT)?;
            logs::begin(LogFormat::Text, LogLevel::Warn);
            let organization = global.organization.as_deref();
            runtime(one_command(&config, verb, organization, global.json))
        }
    }
}

/// A command that ends by itself.
async fn one_command(
    config: &Config,
    verb: Verb,
    organization: Option<&str>,
    json: bool,
) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(new) => init(config, new, json).await,
        Verb::Key(verb) => keys::run(config, organization, verb, json).await,
        Verb::Audit(verb) => audit::run(config, organization, verb, json).await,
        Verb::Ca(verb) => internal_clients::run(config, organization, verb, json).await,
        Verb::Pins(asked) => pins::run(config, organization, asked, json).await,
        Verb::Db(verb) => db::run(config, verb, json).await,
        Verb::Vault(verb) => vault::run(config, verb, json).await,
        Verb::Limit(LimitVerb::File(verb)) => policy::run(config, organization, verb, json).await,
        Verb::PaperBroker => done(paper::serve(config, Arc::new(SystemClock)).await),
        Verb::Lockdown(LockdownVerb::Bundle(asked)) => {
            lockdown::bundle(config, organization, &asked, json).await
        }
        Verb::Halt(HaltVerb::Engage(new)) if new.wait => {
            halt::engage_and_wait(config, organization, new, json).await
        }
        verb => {
            if let Verb::Signal(SignalVerb::Replay(asked)) = &verb
                && let Some(period) = asked.period()
            {
                return replay::run(config, organization, &period, json).await;
            }
            match Asking::of(verb)? {
                Some(Asking { command, shape }) => {
                    commands::run(config, organization, command, shape, json).await
                }
                None => Err(Failure::usage("there is no such command; see --help")),
            }
        }
    }
}

async fn init(config: &Config, new: cli::Init, json: bool) -> Result<Exit, Failure> {
    // Read first: a file that cannot be used is no reason to leave a directory behind.
    let password = new.password_file.as_deref().map(cli::password).transpose()?;
    let owner = new.email.zip(password).map(|(email, password)| {
        Command::UserCreate(UserCreate {
            email,
            role: BuiltInRole::Owner.text().to_owned(),
            password: Some(password),
            // The hardened profile takes passkeys, which a terminal cannot make.
            totp: config.profile == Profile::Standard,
        })
    });
    let (data, owner) = gateway::init(config, owner).await?;
    let mut made = json!({
        "data_dir": data.root(),
        "ca_file": config.tls.is_none().then(|| data.root().join("tls").join("ca.pem")),
        "key_file": config.vault.uses(SourceKind::File).then(|| data.root().join("kek")),
    });
    if let (Some(owner), Some(made)) = (owner, made.as_object_mut()) {
        for (name, from) in [("user_id", "id"), ("org_id", "org_id"), ("totp", "totp")] {
            if let Some(value) = owner.get(from) {
                made.insert(name.to_owned(), value.clone());
            }
        }
    }
    if config.vault.uses(SourceKind::File) {
        output::note(
            "back the key file up apart from the database: without it nothing sealed opens",
        );
    }
    done(commands::show(&made, Shape::One, json))
}

fn configuration(global: &Global, verb: &ConfigVerb) -> Result<Exit, Failure> {
    let config = load(global, None, DATA_DEFAULT)?;
    match verb {
        ConfigVerb::Check => {
            config.refuse_insecure_start()?;
            let fine = json!({ "ok": true });
            if global.json {
                done(output::print(&fine.to_string()))
            } else {
                done(output::print("the configuration is fine"))
            }
        }
        ConfigVerb::Print if global.json => done(output::print(&config::print_json(&config)?)),
        ConfigVerb::Print => done(output::print(&config::print(&config))),
        ConfigVerb::Reference => done(output::print(&config::reference())),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tradewarden", &mut script);
    done(output::print(&String::from_utf8_lossy(&script)))
}

fn load(
    global: &Global,
    listen: Option<&cli::Listen>,
    data_default: &str,
) -> Result<Config, Failure> {
    let overrides = Overrides {
        config: global.config.clone(),
        data: global.data.clone(),
        listen: listen.and_then(|listen| listen.listen),
        internal_listen: listen.and_then(|listen| listen.internal_listen),
    };
    Config::load(&overrides, data_default)
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<Exit, Failure> {
    runtime(async { done(work.await) })
}

fn runtime(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime =
        Builder::new_multi_thread()
            .enable_all()
            .thread_stack_size(STACK_BYTES)
            .build()
            .map_err(|cause| Failure::unavailable(format!("cannot start the runtime: {cause}")))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_END);
    outcome
}

fn done(outcome: Result<(), Failure>) -> Result<Exit, Failure> {
    outcome.map(|()| Exit::Done)
}
