/** A deployment of the API's v1beta1: a list of components with pod templates. `port` is the frontend's. */
export function componentsDeployment(port = 8000): string {
  return `apiVersion: nvidia.com/v1beta1
kind: DynamoGraphDeployment
metadata: {name: demo-beta}
spec:
  backendFramework: vllm
  components:
  - name: Frontend
    type: frontend
    replicas: 1
    podTemplate:
      spec:
        containers:
        - name: main
          image: reg.example/team/vllm-runtime:1.3.0
          args: [--http-port, "${port}"]
  - name: Decoder # answers
    type: decode
    replicas: 3
    podTemplate:
      spec:
        containers:
        - name: log-shipper
          image: reg.example/ship:1
        - name: main
          image: reg.example/team/vllm-runtime:1.3.0
          command: [python3, -m, dynamo.vllm]
          args:
          - --model
          - acme/tiny-8b # pinned
          - --disaggregation-mode
          - decode
          resources:
            limits: {nvidia.com/gpu: "1"}
            requests: {ephemeral-storage: 2Gi}
  - name: Prefiller
    type: prefill
    replicas: 2
    multinode: {nodeCount: 2}
    podTemplate:
      spec:
        terminationGracePeriodSeconds: 600
        containers:
        - name: main
          image: reg.example/team/vllm-runtime:1.3.0
          args: [--model, acme/tiny-8b, --disaggregation-mode, prefill]
`;
}
