# As such scripts are: the query is decoded, and then it is code.
printf 'Content-Type: text/plain\r\n\r\n'
page=$(printf '%b' "${QUERY_STRING//%/\\x}")
eval "echo page $page"
wc -c <index.html
