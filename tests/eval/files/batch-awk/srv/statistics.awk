{ hits[$2]++; bytes[$2] += $3 }
END { for (page in hits) print page, hits[page], bytes[page] }
