# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# What a guest test may use; run-tests sources it before each test. See docs/guests.md.

# --- checks ---

# check DESCRIPTION COMMAND…: passes when COMMAND succeeds; its output is shown when it does not.
check() {
	local description=$1 output status
	shift
	output=$("$@" 2>&1)
	status=$?
	if ((status == 0)); then
		echo "ok - $description"
	else
		echo "not ok - $description"
		_explain "status $status: $*" "$output"
	fi
	return "$status"
}

# check_eq WHAT GOT WANT: passes when both are equal.
check_eq() {
	if [[ $2 == "$3" ]]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		_explain "got:  $2" "want: $3"
		return 1
	fi
}

# check_range WHAT GOT LOWEST HIGHEST: passes when the number lies in the range.
check_range() {
	if (($2 >= $3 && $2 <= $4)); then
		echo "ok - $1 ($2)"
	else
		echo "not ok - $1"
		_explain "got $2, want $3 to $4"
		return 1
	fi
}

# note TEXT…: a line in the report that is no check.
note() {
	echo "# $*"
}

# skip REASON: ends the test; it counts as skipped.
skip() {
	echo "skip - $*"
	exit 0
}

not() {
	! "$@"
}

# wait_until SECONDS COMMAND…: tries until it succeeds.
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@" > /dev/null 2>&1; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}

_explain() {
	printf '%s\n' "$@" | head -n 20 | sed 's/^/#   /'
}

# --- modules ---

is_live() {
	[[ $(cat "/sys/module/$1/initstate" 2> /dev/null) == live ]]
}

module_file() {
	modinfo -n "$1"
}

# --- test modules (tests/guest/modules) ---
#
# mg_one … mg_four, mg_big, mg_pci do what their parameters ask for; mg_state has to be loaded before them.

# load_test_module NAME [PARAMETER…]: one bare call; prints its result by name, OK or an errno.
load_test_module() {
	callers 1 "/guest/modules/$1.ko" 0 "${*:2}" | cut -d ' ' -f 2
}

# init_count NAME: how often its init was entered since init_counts_clear.
init_count() {
	awk -v name="$1" '$1 == name {n = $2} END {print n + 0}' /sys/module/mg_state/parameters/attempts
}

init_counts_clear() {
	echo > /sys/module/mg_state/parameters/attempts
}

# inits_hold, inits_go_on: between them, every init that is entered waits.
inits_hold() {
	echo Y > /sys/module/mg_state/parameters/hold
}

inits_go_on() {
	echo N > /sys/module/mg_state/parameters/hold
}

# --- tracing module loads ---
#
# A test traces in a buffer of its own, so that the one that runs from boot stays as it was. Both hold:
#   calls     finit_module and init_module, as they return to the caller (also when a supervisor answered)
#   entered   those that reached the kernel
#   attempts  load_module in the kernel
#   reads     files the kernel read to load a module
#   loads     modules that got as far as their init

_tracing=/sys/kernel/tracing
_instance=$_tracing/instances/test
_trace=$_instance/trace
_syscall_events=(syscalls/sys_{enter,exit}_{finit,init}_module)

trace_start() {
	local event
	_define_probes
	mkdir -p "$_instance"
	echo 0 > "$_instance/tracing_on"
	echo 4096 > "$_instance/buffer_size_kb"
	for event in "${_syscall_events[@]}" module/module_load guest/load_module guest/kernel_read_file; do
		echo 1 > "$_instance/events/$event/enable"
	done
	: > "$_trace"
	echo 1 > "$_instance/tracing_on"
}

trace_stop() {
	echo 0 > "$_instance/tracing_on"
}

# use_boot_trace: the functions below then look at what happened from boot until the tests began.
use_boot_trace() {
	_trace=/guest/boot-trace
	[[ -e $_trace ]] && return
	echo "not ok - there is a trace from boot on"
	exit 1
}

# trace_count WHAT [MODULE]: how many; the name is only known of loads.
trace_count() {
	trace_lines "$@" | wc -l
}

# trace_lines WHAT [MODULE]: the lines of the trace.
trace_lines() {
	case $1 in
	calls) grep -aE 'sys_f?init_module -> ' "$_trace" ;;
	entered) grep -aE 'sys_f?init_module\(' "$_trace" ;;
	attempts) grep -aF ' load_module: (' "$_trace" ;;
	reads) grep -aF ' kernel_read_file: (' "$_trace" ;;
	loads) grep -aE " module_load: ${2:-[^ ]+}( |\$)" "$_trace" ;;
	*) echo "trace: no such thing: $1" >&2 ;;
	esac
}

# trace_loaded: the names of the modules that got as far as their init, in order, with repetitions.
trace_loaded() {
	trace_lines loads | sed 's/.* module_load: \([^ ]*\).*/\1/'
}

# trace_results: "COUNT RESULT" of the calls, by result: 0x0, or an errno as the kernel writes it.
trace_results() {
	trace_lines calls | sed 's/.*-> //' | sort | uniq -c | sed 's/^ *//'
}

_define_probes() {
	local function
	for function in load_module kernel_read_file; do
		[[ -d $_tracing/events/guest/$function ]] ||
			echo "p:guest/$function $function" >> "$_tracing/kprobe_events"
	done
}

# Containers, with the files that are installed as examples, whose root is the guest's own: what is mounted below / is not there.

examples=/usr/share/doc/modgate/examples/containers
service=modgate-containers.service
rootfs=/run/rootfs
bundles=/run/bundles

containers_begin() {
	mkdir -p $rootfs $bundles /etc/modgate/policy.d
	mount --bind / $rootfs
	cp $examples/vpn.ini /etc/modgate/policy.d/
}

# With the policy that is there now.
containers_serve() {
	check "the policy has no error" modgate policy check
	systemctl daemon-reload
	check "its socket is there" systemctl start modgate-containers.socket
	systemctl try-reload-or-restart $service
	modprobe mg_state
	remove_modules
}

containers_end() {
	umount $rootfs
}

# What nothing uses, so that it has to be loaded again.
remove_modules() {
	local pass name
	for pass in 1 2 3; do
		for name in $(awk '$3 == 0 {print $1}' /proc/modules); do
			[[ $name == mg_state || $name == overlay || $name == fuse ]] || rmmod "$name" 2> /dev/null
		done
	done
}

live() {
	awk '$5 == "Live" {print $1}' /proc/modules | sort
}

# make_bundle NAME user|host COMMAND…: in $bundles/NAME. No word of the command may begin with a dash: jq would take it.
make_bundle() {
	local directory=$bundles/$1 namespace=$2
	mkdir -p "$directory"
	jq --slurpfile seccomp "$examples/seccomp.json" --arg rootfs $rootfs --arg namespace "$namespace" '
		.process.args = $ARGS.positional | .root.path = $rootfs | .linux.seccomp = $seccomp[0]
		| if $namespace == "host" then del(.linux.uidMappings, .linux.gidMappings)
			| .linux.namespaces |= map(select(.type != "user")) else . end' \
		$examples/config.json --args "${@:3}" > "$directory/config.json"
}

# contain RUNTIME NAME user|host COMMAND…: in a container, to its end
contain() {
	make_bundle "${@:2}"
	"$1" run --no-pivot --bundle "$bundles/$2" "$2"
}

# audits TEXT: are there lines about requests with that?
audits() {
	journalctl -b -q --no-pager -o cat -u $service | grep -q " audit .*$1"
}

# call NAME FILE [FLAGS [PARAMETERS]]: the result of one call in a container, by name
call() {
	contain crun "$1" user /guest/programs/callers 1 "${@:2}" | cut -d ' ' -f 2
}
