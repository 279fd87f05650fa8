# Submit a job: sh submit.sh FILE <DESCRIPTION, an empty line, SCRIPT
#
# condor_submit takes no script on standard input. FILE keeps it, behind the environment
# that the job is to have: a NUL ends each variable, and one more all of them. The job
# removes FILE as it begins; description.py has what it runs.
umask 077
description=$(while IFS= read -r line && [ "$line" ]; do printf '%s\n' "$line"; done)
{ env -0 && printf '\0' && cat; } >"$1" &&
  printf '%s\n' "$description" | condor_submit -terse - && exit
code=$?
rm -f -- "$1"
exit "$code"
