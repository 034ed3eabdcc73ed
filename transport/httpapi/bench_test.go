package httpapi

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// What a request costs between the socket and the log: decoding, proposing to a log in memory, answering.
func BenchmarkOperations(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			n := newNode(b).leads()
			b.ReportAllocs()
			var bodies []string
			for i := range b.N {
				var operations []string
				for k := range batch {
					operations = append(operations, fmt.Sprintf(`{"kind":"agent.admit","args":{"agent":{"id":"agent-%08d","hostname":"node-0000.rack-00.example.internal","port":5051,`+
						`"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":16},"role":"*"},{"name":"mem","type":"SCALAR","scalar":{"value":65536},"role":"*"},`+
						`{"name":"disk","type":"SCALAR","scalar":{"value":1048576},"role":"*"}],"attributes":[{"name":"rack","type":"TEXT","text":{"value":"r00"}}]}}}`, i*batch+k))
				}
				bodies = append(bodies, `{"operations":[`+strings.Join(operations, ",")+`]}`)
			}
			b.ResetTimer()
			for _, body := range bodies {
				answer := httptest.NewRecorder()
				n.ServeHTTP(answer, httptest.NewRequest("POST", "/v1/operations", strings.NewReader(body)))
				if answer.Code != 200 {
					b.Fatal(answer.Body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/operation")
		})
	}
}
