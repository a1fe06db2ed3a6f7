/** The public interface of `@selvedge/client`. */

export type { ActorRef, Actors } from "./actor.js";
export type { Answer, CallOptions, CommandOptions, QueryOptions } from "./call.js";
export type { Client, ConnectOptions } from "./client.js";
export { connect } from "./client.js";
export type {
  Cluster,
  ClusterNode,
  ClusterPlan,
  ClusterStatus,
  ClusterWhy,
  NodeState,
  SlotRange,
} from "./cluster.js";
export type { SessionInfo, State } from "./driver.js";
export type { ErrorCode, ServerErrorCode } from "./errors.js";
export { SelvedgeError, WorkError } from "./errors.js";
export type { Events, EventsOptions } from "./events.js";
export type { Token } from "./link/connector.js";
export type { Transport } from "./link/link.js";
export type { WebSocketConstructor, WebSocketLike } from "./link/websocket.js";
export type { WebTransportConstructor, WebTransportLike } from "./link/webtransport.js";
export type {
  Operation,
  OperationError,
  OperationFilter,
  OperationPage,
  OperationRef,
  Operations,
  OperationStatus,
  OperationStep,
  OperationWhy,
  Submit,
} from "./operations.js";
export { isFinal } from "./operations.js";
export type { Item } from "./session/machine.js";
export type { Consistency, SessionLimits, Target } from "./wire/frames.js";
export type { Task, Worker, WorkerOptions } from "./worker.js";
