# Remove a job: sh remove.sh FILE ARGUMENTS-OF-condor_rm
#
# And with it FILE, which has the script of a job that never began; also where nobody
# answered, as whoever wants the job's end does not want it to begin. That there is no
# such job (any more) is no failure, which condor_rm -constraint says it is.
file=$1
shift
condor_rm "$@"
code=$?
rm -f -- "$file"
if [ "$code" != 0 ] && [ "$1" = -constraint ]; then
  left=$(condor_q "$@" -autoformat ClusterId) && [ -z "$left" ] && code=0
fi
exit "$code"
