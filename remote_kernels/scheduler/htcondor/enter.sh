# Run a command in a job: sh enter.sh JOB COMMAND
#
# Until some 9 s after a job's start (STARTER_INITIAL_UPDATE_INTERVAL) the schedd does not
# know where it is, and says that one may try again. -auto-retry does so, but each 5 s.
# -F: ssh is not to do what the user's own configuration asks for any host (RemoteCommand).
# TMP: where its keys are, which it leaves behind if it is killed.
keys=$(mktemp -d) || exit
trap 'rm -rf "$keys"' EXIT
trap 'exit 1' HUP INT TERM
while :; do
  said=$(TMP=$keys condor_ssh_to_job -ssh 'ssh -F /dev/null' "$@" 2>&1 >&3 3>&-)
  code=$?
  case $said in *-auto-retry*) sleep 0.5 ;; *) break ;; esac
done 3>&1
[ -z "$said" ] || printf '%s\n' "$said" >&2
exit "$code"
